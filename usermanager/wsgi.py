"""The application that gunicorn serves."""

import os
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

from django.conf import settings
from django.core.cache import close_caches
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import reset_queries
from gunicorn.http.errors import ChunkMissingTerminator, NoMoreData

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "usermanager.settings")
django_application = get_wsgi_application()
if not settings.DEBUG:  # no log of SQL statements to empty, and no connection to a cache to close, for each request
    request_started.disconnect(reset_queries)
    request_finished.disconnect(close_caches)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Adds the length of a chunked body. Django reads only the length, and would see an empty body without it."""
    if "HTTP_TRANSFER_ENCODING" in environ and "CONTENT_LENGTH" not in environ:
        body = _read(environ["wsgi.input"], settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
        environ |= {"CONTENT_LENGTH": str(len(body)), "wsgi.input": BytesIO(body)}
    return django_application(environ, start_response)


def _read(chunks: Any, size: int) -> bytes:
    """Reads a chunked body. Raises a ParseException, which the worker answers, if the body ends too early."""
    try:
        body: bytes = chunks.read(size)
    except NoMoreData as error:
        raise ChunkMissingTerminator(b"") from error
    return body
