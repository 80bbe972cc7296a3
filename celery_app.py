"""The Celery application: `celery -A celery_app worker` delivers emails. Its settings are Django's, CELERY_*."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "usermanager.settings")

app = Celery("usermanager")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.set_default()  # for all threads: in those of the web server, shared_task would otherwise use an empty application
app.autodiscover_tasks()
