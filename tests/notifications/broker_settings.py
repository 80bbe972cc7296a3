"""The product's settings for processes of tests that share a broker with others: queues of their own names."""

import os

from tests.notifications.queues import queues
from usermanager.settings import *  # noqa: F403

EMAIL_BACKEND = os.environ.get("EMAIL_BACKEND") or email_settings["EMAIL_BACKEND"]  # noqa: F405
CELERY_TASK_QUEUES = queues(os.environ["QUEUE_PREFIX"])  # type: ignore[assignment]
