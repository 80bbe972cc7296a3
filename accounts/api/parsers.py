"""How the body of a request is read."""

import json
import math
from typing import IO, Any, NoReturn

from django.http import UnreadablePostError
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

BODY_BYTES = 64 * 1024
DEPTH = 32


class PayloadTooLarge(APIException):
    status_code = 413
    default_code = "payload_too_large"
    default_detail = _("The body is larger than 64 KiB.")


def take_in(request: Request) -> None:
    """Reads the whole body. Raises PayloadTooLarge, ParseError.

    Whoever sends it slowly is thus judged by what they may do when it has arrived, not by what they could before.
    """
    try:
        if int(request.META.get("CONTENT_LENGTH") or 0) > BODY_BYTES:
            raise PayloadTooLarge
        request.body  # noqa: B018 - Django keeps it for whoever reads it next
    except (UnreadablePostError, ValueError) as fault:
        raise ParseError(_("The body did not arrive.")) from fault


class StrictJSONParser(BaseParser):
    """Takes JSON as RFC 8259 defines it and nothing that two readers could understand differently."""

    media_type = "application/json"

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> Any:
        body = stream.read(BODY_BYTES + 1)
        if len(body) > BODY_BYTES:
            raise PayloadTooLarge
        try:
            document = json.loads(
                body.decode(), object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_float
            )
            json.dumps(
                document, ensure_ascii=False
            ).encode()  # half a surrogate pair can be neither stored nor answered
        except (ValueError, RecursionError) as fault:
            raise ParseError(_("The body is not valid JSON.")) from fault
        if _is_deeper(document, DEPTH):
            raise ParseError(_("The body is nested too deeply."))
        return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ParseError(_("A key stands twice in one object."))
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _float(text: str) -> float:
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
