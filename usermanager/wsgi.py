"""The application that gunicorn serves."""

import os
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from gunicorn.http.errors import ChunkMissingTerminator, NoMoreData

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "usermanager.settings")
django_application = get_wsgi_application()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Gives a body that came in chunks its length: Django goes by that alone, and would take it for empty."""
    if "CONTENT_LENGTH" not in environ and environ.get("wsgi.input_terminated"):
        body = _read(environ["wsgi.input"], settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
        environ |= {"CONTENT_LENGTH": str(len(body)), "wsgi.input": BytesIO(body)}
    return django_application(environ, start_response)


def _read(chunks: Any, size: int) -> bytes:
    """Raises a ParseException, which our worker answers: what ends too early is no HTTP."""
    try:
        body: bytes = chunks.read(size)
    except NoMoreData as fault:
        raise ChunkMissingTerminator(b"") from fault
    return body
