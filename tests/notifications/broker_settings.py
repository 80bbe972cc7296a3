"""The product's settings for processes of tests that share a broker with others: queues of their own names."""

import os

from tests.notifications.queues import queues
from usermanager.settings import *  # noqa: F403

CELERY_TASK_QUEUES = queues(os.environ["QUEUE_PREFIX"])  # type: ignore[assignment]
