"""Renders the responses of the API in JSON."""

from collections.abc import Mapping
from typing import Any

from rest_framework import renderers
from rest_framework.utils.encoders import JSONEncoder


class JSONRenderer(renderers.JSONRenderer):
    """Renders like REST framework, with one encoder for all responses that need no indentation."""

    encode = JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        if data is None or accepted_media_type != self.media_type:
            rendered: bytes = super().render(data, accepted_media_type, renderer_context)
            return rendered
        # As REST framework does, so that the response is also JavaScript.
        return self.encode(data).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").encode()
