"""Finds out whether all bytes of an HTTP/1.1 request have arrived.

This only decides when a thread gets the request. gunicorn's parser then parses it and rejects a malformed one, so a
request that looks malformed here counts as complete.
"""

import re

HEADER_BYTES = 64 * 1024
BODY_BYTES = 1024 * 1024  # no view accepts a larger body
CHUNKED_BYTES = BODY_BYTES + 128 * 1024  # with the lengths before the chunks
MAX_CHUNKS = 10_000
CHUNK_LINE_BYTES = 256
REQUEST_LINE_BYTES = 8192

_REQUEST_LINE = re.compile(rb"\S+ \S+ HTTP/\d\.\d")
# These three search a header in lower case: a pattern that ignores case takes ten times as long.
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r\n")
_CHUNKED = re.compile(rb"\r\ntransfer-encoding[ \t]*:")
_CONTINUE = re.compile(rb"[^\r\n]* http/1\.1\r\n(?:.*\r\n)?expect:[ \t]*100-continue[ \t]*\r\n", re.DOTALL)
_CHUNK = re.compile(rb"([0-9a-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r\n", re.IGNORECASE)


class Framing:
    """The progress of one request. The caller appends arriving bytes to `received`."""

    def __init__(self, received: bytearray) -> None:
        self.received = received
        self.body_at: int | None = None  # where the body begins; None until the header has arrived
        self.awaits_continue = False  # the client waits for 100 Continue (RFC 9110, section 10.1.1)
        self._searched = 0
        self._is_line_valid = False
        self.end: int | None = None  # where the body ends, if its length is known
        self._next_chunk = 0
        self._chunks = 0

    @property
    def is_header_too_large(self) -> bool:
        return self.body_at is None and len(self.received) > HEADER_BYTES

    def is_complete(self) -> bool:
        """Returns True if all bytes have arrived, or if gunicorn will reject the request in any case."""
        if self.body_at is None and not self._find_body():
            return self.is_header_too_large or not self._may_be_http()
        if self.end is None:
            return self._has_all_chunks()
        return len(self.received) >= self.end

    def _find_body(self) -> bool:
        end = self.received.find(b"\r\n\r\n", max(0, self._searched - 3))
        self._searched = len(self.received)
        if end < 0:
            return False
        header = bytes(self.received[: end + 2]).lower()
        self.body_at = self._next_chunk = end + 4
        self.awaits_continue = b"\r\nexpect:" in header and bool(_CONTINUE.match(header))
        if not _CHUNKED.search(header):
            length = _LENGTH.search(header)
            size = int(length[1]) if length else 0
            self.end = self.body_at + (
                size if size <= BODY_BYTES else 0
            )  # Django rejects a larger one without reading it
        return True

    def _may_be_http(self) -> bool:
        """Returns whether the first line, as far as it has arrived, can be a request line."""
        if self._is_line_valid:
            return True
        end = self.received.find(b"\r\n", 0, REQUEST_LINE_BYTES + 2)
        if end < 0:
            return len(self.received) <= REQUEST_LINE_BYTES
        self._is_line_valid = bool(_REQUEST_LINE.fullmatch(self.received, 0, end))
        return self._is_line_valid

    def _has_all_chunks(self) -> bool:
        while True:
            line = _CHUNK.match(self.received, self._next_chunk)
            if line is None:
                return self._is_chunk_malformed()
            size, self._chunks = int(line[1], 16), self._chunks + 1
            if size == 0:  # trailers may follow, up to an empty line
                return self.received.find(b"\r\n\r\n", line.end() - 2) >= 0 or self._is_too_large()
            if self._chunks > MAX_CHUNKS:
                return True
            self._next_chunk = line.end() + size + 2

    def _is_chunk_malformed(self) -> bool:
        rest = len(self.received) - self._next_chunk
        has_line = self.received.find(b"\r\n", self._next_chunk) >= 0
        return has_line or rest > CHUNK_LINE_BYTES or self._is_too_large()

    def _is_too_large(self) -> bool:
        return max(len(self.received), self._next_chunk) - (self.body_at or 0) > CHUNKED_BYTES
