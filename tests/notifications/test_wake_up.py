"""Waking the relay of this machine: at once, and by whichever of them is there."""

import socket
import time
from pathlib import Path
from uuid import UUID, uuid4

from notifications.sending import wake_up
from notifications.sending.wake_up import WakeUpSocket


def test_notifying_never_fails_and_never_waits(data_dir: Path) -> None:
    begin = time.monotonic()
    wake_up.notify_relay(uuid4())
    wake_up_socket = WakeUpSocket()
    for _ in range(2000):
        wake_up.notify_relay(uuid4())
    assert time.monotonic() - begin < 30
    assert wake_up_socket.wait(1)
    wake_up_socket.close()
    assert not wake_up.path().exists()


def test_the_socket_of_a_killed_relay_is_replaced(data_dir: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(str(wake_up.path()))
    wake_up_socket = WakeUpSocket()
    wake_up.notify_relay()
    assert wake_up_socket._outer
    wake_up_socket.close()


def test_the_second_relay_of_a_host_is_notified_when_the_first_has_ended(data_dir: Path) -> None:
    first, second = WakeUpSocket(), WakeUpSocket()
    first.close()
    assert second.wait(0.01) == []
    mail_id = uuid4()
    wake_up.notify_relay(mail_id)
    assert second.wait(1) == [mail_id]
    second.close()


def test_only_ids_are_accepted_as_messages(wake_up_socket: WakeUpSocket) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"nonsense", str(wake_up.path()))
    assert wake_up_socket.wait(1) == []
    wake_up.notify_relay(UUID(int=7))
    assert wake_up_socket.wait(1) == [UUID(int=7)]
