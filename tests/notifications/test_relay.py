"""The relay as a whole: what it does besides taking up mails."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from accounts.signals import time_passed
from notifications import relay
from notifications.relay import Relay


@pytest.mark.django_db
def test_lets_in_again_whose_suspension_is_over(
    person: Callable[..., User], data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "ROUND_SECONDS", 0.01)
    ana = person("ana", is_active=False, suspended_until=timezone.now() - timedelta(seconds=1))
    running = Relay(threads=1)

    def stop(**_arguments: Any) -> None:
        running.stop()

    time_passed.connect(stop)
    try:
        running.run()
    finally:
        time_passed.disconnect(stop)
    ana.refresh_from_db()
    assert ana.is_active
