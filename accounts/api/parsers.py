"""Reads and parses request bodies."""

import json
import math
from typing import IO, Any, NoReturn

from django.http import UnreadablePostError
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

MAX_BODY_BYTES = 64 * 1024
MAX_DEPTH = 32


class PayloadTooLarge(APIException):
    status_code = 413
    default_code = "payload_too_large"
    default_detail = _("The body is larger than 64 KiB.")


def read_body(request: Request) -> None:
    """Reads the whole body. Raises PayloadTooLarge, ParseError.

    Called before authentication: a client that sends its body slowly has the permissions of the moment it is complete.
    """
    try:
        if int(request.META.get("CONTENT_LENGTH") or 0) > MAX_BODY_BYTES:
            raise PayloadTooLarge
        request.body  # noqa: B018 - Django keeps it for later readers
    except (UnreadablePostError, ValueError) as error:
        raise ParseError(_("The request body could not be read.")) from error


class StrictJSONParser(BaseParser):
    """Accepts JSON as RFC 8259 defines it, and rejects what two parsers could read differently."""

    media_type = "application/json"

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> Any:
        body = stream.read(MAX_BODY_BYTES + 1)
        if len(body) > MAX_BODY_BYTES:
            raise PayloadTooLarge
        try:
            document = json.loads(
                body.decode(),
                object_pairs_hook=_object_without_duplicates,
                parse_constant=_reject_constant,
                parse_float=_finite_float,
            )
            json.dumps(document, ensure_ascii=False).encode()  # fails on lone surrogates, which can't be stored
        except (ValueError, RecursionError) as error:
            raise ParseError(_("The body is not valid JSON.")) from error
        if _is_deeper(document, MAX_DEPTH):
            raise ParseError(_("The body is nested too deeply."))
        return document


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ParseError(_("Duplicate key in a JSON object."))
    return document


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number is out of range")
    return number


def _is_deeper(document: Any, limit: int) -> bool:
    level = [document]
    for _depth in range(limit):
        level = [child for node in level for child in _children(node)]
        if not level:
            return False
    return True


def _children(node: Any) -> list[Any]:
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [child for child in inner if isinstance(child, dict | list)]
