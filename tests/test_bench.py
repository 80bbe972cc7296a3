"""The client of the benchmarks, against a server that hands out tokens as a rotation does."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Thread

import pytest

from bench import load
from bench.load import Conversation


class Rotating(BaseHTTPRequestHandler):
    """Answers 200 and the next token if the request has the one that this client got last, otherwise 409."""

    protocol_version = "HTTP/1.1"
    last: dict[str, int] = {}  # noqa: RUF012 - shared by all requests, and emptied for each test

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        is_last = self.last.get(sent["client"], 0) == sent["token"]
        self.last[sent["client"]] = sent["token"] + 1
        body = json.dumps({"token": sent["token"] + 1}).encode()
        self.send_response(200 if is_last else 409)
        self.send_header("Content-Length", str(len(body)))
        if sent["token"] % 5 == 4:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Logs nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    Rotating.last.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Rotating) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def rotate(client: str, received: list[int]) -> Conversation:
    while True:
        body = yield load.request("POST", "/", body={"client": client, "token": received[-1]})
        received.append(json.loads(body)["token"])


def test_each_connection_sends_the_token_that_it_received_last(port: int) -> None:
    received: dict[str, list[int]] = {name: [0] for name in "abc"}
    for _round in range(2):  # the second one goes on where the first has ended
        result = load.run(port, [rotate(name, tokens) for name, tokens in received.items()], 0.2)
        assert {response.status for response in result.responses} == {200}
    assert all(tokens == list(range(len(tokens))) and len(tokens) > 5 for tokens in received.values())
    assert {name: tokens[-1] for name, tokens in received.items()} == Rotating.last


def test_a_response_counts_once_it_is_complete(port: int) -> None:
    result = load.run(port, [rotate("a", [0])], 0.1)
    assert sum(response.at < result.end for response in result.responses) == len(result.responses) - 1
    assert all(0 < response.seconds < 5 for response in result.responses)


def test_a_broken_connection_ends_the_benchmark(port: int) -> None:
    def nonsense() -> Conversation:
        for _number in count():
            yield b"NONSENSE\r\n\r\n"

    with pytest.raises(load.BrokenConnection):
        load.run(port, [nonsense()], 0.1)
