"""A RabbitMQ for these tests, which they may stop, freeze, kill and starve of memory."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from amqp.exceptions import AMQPError
from kombu import Connection
from kombu.exceptions import KombuError

from tests.usermanager.processes import eventually, free_port

ENOUGH_MEMORY, NO_MEMORY = "0.4", "0.00001"


def programs() -> Path | None:
    """Finds Debian's folder of rabbitmq-server and rabbitmqctl, if installed; the ones in PATH require root."""
    return next(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin"), None)


class Node:
    """One node with ports, files and a port mapper of its own."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.port = free_port()
        self._folder, self._home = folder, home
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),  # of the cookie
            "ERL_EPMD_PORT": str(free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_NODENAME": f"faults{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
        }
        (folder / "plugins").write_text("[].")
        self._process: subprocess.Popen[bytes] | None = None
        self._port_mapper: subprocess.Popen[bytes] | None = None

    def url(self, host: str = "%2F") -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{host}"

    def add_host(self, name: str) -> str:
        """Adds a virtual host, with its own queues; returns its URL."""
        self._ctl("add_vhost", name)
        self._ctl("set_permissions", "--vhost", name, "guest", ".*", ".*", ".*")
        return self.url(name)

    def start(self) -> None:
        """Returns at once; await_ready() waits. A port mapper that RabbitMQ starts by itself would outlive it."""
        self._port_mapper = self._port_mapper or subprocess.Popen(["epmd"], env=self._environment)  # noqa: S607
        eventually(lambda: _listens(int(self._environment["ERL_EPMD_PORT"])))
        with (self._folder / "printed.txt").open("ab") as printed:
            self._process = subprocess.Popen(
                [self._home / "rabbitmq-server"], env=self._environment, stdout=printed, stderr=printed,
                start_new_session=True,
            )  # fmt: skip

    def await_ready(self) -> None:
        eventually(self._answers, seconds=180)

    def kill(self) -> None:
        """Kills the node, like a power cut."""
        self._signal(signal.SIGKILL)
        if self._process:
            self._process.wait(20)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continues the node. Does nothing if it is not frozen, or is gone."""
        with suppress(ProcessLookupError):
            self._signal(signal.SIGCONT)

    def stop_app(self) -> None:
        self._ctl("stop_app")

    def start_app(self) -> None:
        self._ctl("start_app")

    def set_memory(self, share: str) -> None:
        self._ctl("set_vm_memory_high_watermark", share)

    def delete(self, queue: str) -> None:
        self._ctl("delete_queue", queue)

    def readers(self, queue: str) -> int:
        """Returns the number of consumers of the queue; 0 if the broker does not answer."""
        try:
            with Connection(self.url(), connect_timeout=2) as connection:
                channel: Any = connection.channel()
                return int(channel.queue_declare(queue, passive=True).consumer_count)
        except (OSError, AMQPError, KombuError):
            return 0

    def close(self) -> None:
        """Ends the node in any state."""
        if self._process:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(20)
        if self._port_mapper:
            self._port_mapper.kill()
            self._port_mapper.wait(20)

    def _answers(self) -> bool:
        assert self._process
        assert self._process.poll() is None, (self._folder / "printed.txt").read_text()[-2000:]
        return _listens(self.port)

    def _signal(self, number: signal.Signals) -> None:
        os.kill(int((self._folder / "pid").read_text()), number)

    def _ctl(self, *arguments: str) -> None:
        command = [str(self._home / "rabbitmqctl"), "--quiet", *arguments]
        subprocess.run(command, env=self._environment, capture_output=True, check=True, timeout=60)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True


@contextmanager
def running(folder: Path, home: Path) -> Iterator[Node]:
    node = Node(folder, home)
    try:
        node.start()
        node.await_ready()
        yield node
    finally:
        node.close()
