"""Waking the relay of this machine: at once, and by whichever of them is there."""

import socket
import time
from pathlib import Path
from uuid import UUID, uuid4

from notifications import doorbell
from notifications.doorbell import Doorbell


def test_ringing_never_fails_and_never_waits(data_dir: Path) -> None:
    begin = time.monotonic()
    doorbell.ring(uuid4())
    bell = Doorbell()
    for _ in range(2000):
        doorbell.ring(uuid4())
    assert time.monotonic() - begin < 1
    assert bell.wait(1)
    bell.close()
    assert not doorbell.path().exists()


def test_a_bell_that_a_killed_relay_left_behind_is_replaced(data_dir: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(str(doorbell.path()))
    bell = Doorbell()
    doorbell.ring()
    assert bell._outer
    bell.close()


def test_the_second_relay_of_a_machine_is_rung_when_the_first_has_gone(data_dir: Path) -> None:
    first, second = Doorbell(), Doorbell()
    first.close()
    assert second.wait(0.01) == []
    mail_id = uuid4()
    doorbell.ring(mail_id)
    assert second.wait(1) == [mail_id]
    second.close()


def test_ids_are_what_a_bell_understands(bell: Doorbell) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"nonsense", str(doorbell.path()))
    assert bell.wait(1) == []
    doorbell.ring(UUID(int=7))
    assert bell.wait(1) == [UUID(int=7)]
