"""The configuration of gunicorn, for `manage.py serve` and for the container."""

import os
import resource
import shutil
from typing import Any

from django.conf import settings
from gunicorn import glogging

from usermanager import metrics_folder

os.umask(0o077)  # the settings set it, too, but the metrics files are created before
METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "usermanager.settings")
# Prometheus' client reads this variable when it is imported; each process then counts in its own file. `serve` sets it
# for all of its processes, docker-compose.yml for all of its containers.
own_metrics_folder = None if METRICS_VARIABLE in os.environ else metrics_folder.create()
os.environ.setdefault(METRICS_VARIABLE, own_metrics_folder or "")
from accounts.hashing import limiter  # noqa: E402 - imports the client
from usermanager import prometheus_multiprocess  # noqa: E402

bind = f"[{settings.BIND}]:{settings.PORT}" if ":" in settings.BIND else f"{settings.BIND}:{settings.PORT}"
workers = settings.WEB_WORKERS
worker_class = "usermanager.web_server.rejecting_worker.RejectingWorker"
preload_app = True
# Besides WEB_THREADS, there is a thread for each login that may hash, wait or get a delayed rejection. All of them may
# be in this process, and must not block other requests.
threads = settings.WEB_THREADS + settings.LOGIN_CONCURRENCY + settings.LOGIN_QUEUE + limiter.MAX_DELAYED_REJECTIONS
# At the limit of open files, gunicorn's accept() fails and the worker ends, with all its requests. The usual limit of
# 1,024 is too low for 1,000 clients and the database files of each thread.
thread_files = 4 * threads + 64
soft_limit, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
if resource.RLIM_INFINITY != soft_limit < 1000 + thread_files:
    soft_limit = 1000 + thread_files
    if hard_limit != resource.RLIM_INFINITY:
        soft_limit = min(soft_limit, hard_limit)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft_limit, hard_limit))
is_unlimited = soft_limit == resource.RLIM_INFINITY
worker_connections = 1000 if is_unlimited else max(100, min(1000, soft_limit - thread_files))
# PostgreSQL has a hundred connections by default, too few for one per thread. The threads share a pool: each takes a
# connection for one request, and none while it hashes.
if not settings.IS_SQLITE:
    from usermanager import postgres_pool  # loads psycopg

    free = 2 * settings.WEB_THREADS  # threads that neither have a connection nor wait for one
    pooled = postgres_pool.with_pool(
        settings.DATABASES["default"], size=settings.WEB_THREADS, waiting=max(1, threads - free)
    )
    settings.DATABASES["default"] |= pooled
graceful_timeout = 25
limit_request_line = 8190
forwarded_allow_ips = ""  # Django reads the proxy's headers, see TRUSTED_PROXIES
control_socket_disable = True
accesslog = None  # it would log query strings, which may contain tokens; our middleware logs requests
logconfig_dict = settings.LOGGING


class logger_class(glogging.Logger):  # type: ignore[misc]
    """Writes no access log. With logconfig_dict, gunicorn would prepare a line of it for each request, in 0.06 ms."""

    def access(self, *_arguments: Any) -> None:
        """Does nothing."""


def when_ready(server: Any) -> None:
    """Loads everything before gunicorn forks the workers."""
    from usermanager import preloading  # noqa: PLC0415 - needs the apps, which gunicorn loads after this file

    preloading.load_everything()


def post_worker_init(worker: Any) -> None:
    from usermanager.early_rejections import EarlyRejections  # noqa: PLC0415 - as for preloading

    worker.rejections = EarlyRejections()


def child_exit(server: Any, worker: Any) -> None:
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415 - reads the folder when imported

    mark_process_dead(prometheus_multiprocess.identifier(worker.pid))  # type: ignore[no-untyped-call]


def on_exit(server: Any) -> None:
    if own_metrics_folder:
        shutil.rmtree(own_metrics_folder, ignore_errors=True)
