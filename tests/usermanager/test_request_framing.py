"""A request is complete with its last byte, or as soon as gunicorn is certain to reject it."""

import pytest

from usermanager.web_server.request_framing import BODY_BYTES, HEADER_BYTES, MAX_CHUNKS, Framing

HEAD = b"POST /api/v1/auth/login/ HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def bytes_until_complete(request: bytes, step: int = 1) -> int | None:
    """Returns the number of bytes after which the request is complete."""
    received = bytearray()
    framing = Framing(received)
    for start in range(0, len(request), step):
        received += request[start : start + step]
        if framing.is_complete():
            return len(received)
    return None


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        HEAD + b"Content-Length: 0\r\n\r\n",
        HEAD + b"Content-Length: 11\r\nX-A: b\r\n\r\n\r\n\r\n\r\n0\r\n\r\n",
        HEAD + b"content-length:\t3 \r\n\r\n{ }",
        CHUNKED + b"0\r\n\r\n",
        CHUNKED + b"2\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"00A;name=value\r\n0\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n",  # the chunk looks like the end
        CHUNKED + b"1\r\n{\r\n1\r\n}\r\n000\r\nX-Trailer: a\r\n\r\n",
    ],
    ids=range(9),
)
def test_a_request_is_complete_with_its_last_byte(request_: bytes) -> None:
    assert bytes_until_complete(request_) == len(request_)
    assert bytes_until_complete(request_ + b"GET / HTTP/1.1\r\n", step=10_000) == len(request_) + 16


@pytest.mark.parametrize(
    "request_",
    [
        b"HELLO\r\n",
        b"GET / HTTP/1.1 x\r\n",
        b"\x16\x03\x01\x02" + b"\x00" * 8192,
        b"GET /" + b"a" * 8192,
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: %d\r\n\r\n" % (BODY_BYTES + 1),
        CHUNKED + b"x\r\n",
        CHUNKED + b"-1\r\n",
        CHUNKED + b"ffffffff\r\n",
        CHUNKED + b"1;" + b"a" * 256,
        CHUNKED + b"1\r\na\r\n" * (MAX_CHUNKS + 1),
    ],
    ids=range(11),
)
def test_a_request_that_gunicorn_will_reject_counts_as_complete(request_: bytes) -> None:
    assert Framing(bytearray(request_)).is_complete()
    assert bytes_until_complete(request_[:5]) is None


def test_a_header_that_never_ends_is_too_large() -> None:
    framing = Framing(bytearray(HEAD + b"X-A: b\r\n" * (HEADER_BYTES // 8)))
    assert framing.is_complete()
    assert framing.is_header_too_large


def test_a_client_may_wait_for_100_continue() -> None:
    framing = Framing(bytearray(HEAD + b"Content-Length: 2\r\nExpect: 100-Continue\r\n\r\n"))
    assert not framing.is_complete()
    assert framing.awaits_continue


def test_a_client_of_http_1_0_gets_no_100_continue() -> None:
    framing = Framing(bytearray(HEAD.replace(b"1.1", b"1.0") + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"))
    assert not framing.is_complete()
    assert not framing.awaits_continue
