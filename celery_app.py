"""The Celery application: `celery -A celery_app worker` delivers mails. Its settings are Django's, CELERY_*."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "usermanager.settings")

app = Celery("usermanager")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.set_default()  # for every thread: shared_task would find an empty application in those of the web server
app.autodiscover_tasks()
