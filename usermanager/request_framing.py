"""Tells whether the bytes of an HTTP/1.1 request have all arrived.

It decides only when a thread gets the request. gunicorn's parser decides what the request is, and refuses a bad one:
what looks malformed here therefore counts as whole.
"""

import re

HEADER_BYTES = 64 * 1024
BODY_BYTES = 1024 * 1024  # the largest body that anything here reads
CHUNKED_BYTES = BODY_BYTES + 128 * 1024  # with the lengths that stand before the chunks
MOST_CHUNKS = 10_000
CHUNK_LINE_BYTES = 256
REQUEST_LINE_BYTES = 8192

_REQUEST_LINE = re.compile(rb"\S+ \S+ HTTP/\d\.\d")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding[ \t]*:", re.IGNORECASE)
_CONTINUE = re.compile(
    rb"[^\r\n]* HTTP/1\.1\r\n(?:.*\r\n)?expect:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE | re.DOTALL
)
_CHUNK = re.compile(rb"([0-9a-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r\n", re.IGNORECASE)


class Framing:
    """How far one request has come. `received` is the buffer that the caller appends to."""

    def __init__(self, received: bytearray) -> None:
        self.received = received
        self.body_at: int | None = None  # where the body begins, once the header is there
        self.awaits_continue = False  # its client sends the body when it is asked to (RFC 9110, section 10.1.1)
        self._searched = 0
        self._line_is_good = False
        self._needed: int | None = None  # up to the end of a body whose length is known
        self._next_chunk = 0
        self._chunks = 0

    @property
    def header_is_too_large(self) -> bool:
        return self.body_at is None and len(self.received) > HEADER_BYTES

    def is_whole(self) -> bool:
        """Whether nothing is missing any more, or waiting for the rest has no use."""
        if self.body_at is None and not self._finds_body():
            return self.header_is_too_large or not self._may_be_http()
        if self._needed is None:
            return self._has_all_chunks()
        return len(self.received) >= self._needed

    def _finds_body(self) -> bool:
        end = self.received.find(b"\r\n\r\n", max(0, self._searched - 3))
        self._searched = len(self.received)
        if end < 0:
            return False
        header = bytes(self.received[: end + 2])
        self.body_at = self._next_chunk = end + 4
        self.awaits_continue = bool(_CONTINUE.match(header))
        if not _CHUNKED.search(header):
            length = _LENGTH.search(header)
            size = int(length[1]) if length else 0
            self._needed = self.body_at + (size if size <= BODY_BYTES else 0)  # a larger one is refused unread
        return True

    def _may_be_http(self) -> bool:
        """Whether the first line, as far as it is there, may be that of a request."""
        if self._line_is_good:
            return True
        end = self.received.find(b"\r\n", 0, REQUEST_LINE_BYTES + 2)
        if end < 0:
            return len(self.received) <= REQUEST_LINE_BYTES
        self._line_is_good = bool(_REQUEST_LINE.fullmatch(self.received, 0, end))
        return self._line_is_good

    def _has_all_chunks(self) -> bool:
        while True:
            line = _CHUNK.match(self.received, self._next_chunk)
            if line is None:
                return self._chunk_is_malformed()
            size, self._chunks = int(line[1], 16), self._chunks + 1
            if size == 0:  # trailers may follow, up to an empty line
                return self.received.find(b"\r\n\r\n", line.end() - 2) >= 0 or self._is_too_large()
            if self._chunks > MOST_CHUNKS:
                return True
            self._next_chunk = line.end() + size + 2

    def _chunk_is_malformed(self) -> bool:
        rest = len(self.received) - self._next_chunk
        has_line = self.received.find(b"\r\n", self._next_chunk) >= 0
        return has_line or rest > CHUNK_LINE_BYTES or self._is_too_large()

    def _is_too_large(self) -> bool:
        return max(len(self.received), self._next_chunk) - (self.body_at or 0) > CHUNKED_BYTES
