"""How gunicorn serves the application; `manage.py serve` and the container both start it with this file."""

import gc
import os
import resource
import shutil
from typing import Any

from django.conf import settings
from django.urls import get_resolver

from usermanager import metrics_folder

os.umask(0o077)  # as the settings do, for the files of metrics, which are made before the settings are read
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "usermanager.settings")
# The client of Prometheus reads this when it is imported: each process then counts in a file of its own.
# `serve` gives one to all of its processes, docker-compose.yml to all of its containers.
own_metrics = None if METRICS_FOLDER in os.environ else metrics_folder.create()
os.environ.setdefault(METRICS_FOLDER, own_metrics or "")
from accounts import hashing_gate  # noqa: E402 - imports the client
from usermanager import counts, database_settings  # noqa: E402 - so does this

bind = f"[{settings.BIND}]:{settings.PORT}" if ":" in settings.BIND else f"{settings.BIND}:{settings.PORT}"
workers = settings.WEB_WORKERS
worker_class = "usermanager.web_worker.Worker"
# On top of WEB_THREADS a thread for each login that may hash, wait or be slowed down, as all of them may be here: those
# must never hold up the other requests.
threads = settings.WEB_THREADS + settings.LOGIN_CONCURRENCY + settings.LOGIN_QUEUE + hashing_gate.REFUSED_AT_ONCE
# A worker that can open no more files ends in gunicorn's accept(), and every request with it. The usual limit of 1,024
# is too low for 1,000 clients and the files of the database that each thread opens.
files_of_threads = 4 * threads + 64
soft_limit, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
if resource.RLIM_INFINITY != soft_limit < 1000 + files_of_threads:
    soft_limit = 1000 + files_of_threads
    if hard_limit != resource.RLIM_INFINITY:
        soft_limit = min(soft_limit, hard_limit)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft_limit, hard_limit))
is_unlimited = soft_limit == resource.RLIM_INFINITY
worker_connections = 1000 if is_unlimited else max(100, min(1000, soft_limit - files_of_threads))
# That many threads must not each keep a connection: PostgreSQL has a hundred. They borrow one for as long as a request,
# and not while it hashes.
if not settings.IS_SQLITE:
    free = 2 * settings.WEB_THREADS  # of threads that neither have nor wait for a connection
    pooled = database_settings.with_pool(
        settings.DATABASES["default"], size=settings.WEB_THREADS, waiting=max(1, threads - free)
    )
    settings.DATABASES["default"] |= pooled
graceful_timeout = 25
limit_request_line = 8190
forwarded_allow_ips = ""  # what a proxy says is Django's to believe, see TRUSTED_PROXIES
control_socket_disable = True
accesslog = None  # it would print the query, and with it the tokens of mailed links; our middleware logs
logconfig_dict = settings.LOGGING


def post_worker_init(worker: Any) -> None:
    """What is loaded by now stays for good: collecting garbage need not look through it for each few requests."""
    from usermanager import api_docs  # noqa: PLC0415 - needs the apps, which gunicorn loads after this file

    get_resolver().url_patterns  # noqa: B018 - loads every view
    api_docs.build_all()
    gc.collect()
    gc.freeze()


def child_exit(server: Any, worker: Any) -> None:
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415 - reads the folder when imported

    mark_process_dead(counts.identifier(worker.pid))  # type: ignore[no-untyped-call]


def on_exit(server: Any) -> None:
    if own_metrics:
        shutil.rmtree(own_metrics, ignore_errors=True)
