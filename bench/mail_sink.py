"""An SMTP server that accepts every email as fast as it can, and writes the time: `python bench/mail_sink.py FILE`.

It prints its port. Writes a line for each email: its id, and the time in seconds.
"""

import asyncio
import re
import sys
import time
from pathlib import Path
from typing import TextIO

ANSWERS = {b"EHLO": b"250-sink\r\n250 8BITMIME\r\n", b"DATA": b"354 go\r\n", b"QUIT": b"221 bye\r\n"}
OK = b"250 ok\r\n"


class Conversation(asyncio.Protocol):
    def __init__(self, arrivals: TextIO, delay_seconds: float) -> None:
        self._arrivals, self._delay_seconds = arrivals, delay_seconds
        self._received = b""
        self._is_text = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        self._received += data
        while True:
            end = b"\r\n.\r\n" if self._is_text else b"\r\n"
            part, found, rest = self._received.partition(end)
            if not found:
                return
            self._received = rest
            self._take(part)

    def _take(self, part: bytes) -> None:
        if self._is_text:
            self._is_text = False
            name = re.search(rb"X-Entity-Ref-ID: (\S+)", part)
            self._arrivals.write(f"{name[1].decode() if name else '-'} {time.time()}\n")
            asyncio.get_running_loop().call_later(self._delay_seconds, self._transport.write, OK)
            return
        command = part[:4].upper()
        self._is_text = command == b"DATA"
        self._transport.write(ANSWERS.get(command, OK))


async def main(path: Path, delay_seconds: float) -> None:
    with path.open("w", buffering=1) as arrivals:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Conversation(arrivals, delay_seconds), "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), float(sys.argv[2])))
