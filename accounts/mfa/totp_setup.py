"""Shows a new secret to the user who adds it to an authenticator app: as QR code, as link, and as text."""

import re
from typing import Any

import segno
from django.utils.safestring import SafeString, mark_safe

GROUP = 4  # letters of the secret between two spaces


def context(uri: str, secret: str) -> dict[str, Any]:
    """Returns what the template accounts/totp_secret.html shows. `uri` is the otpauth:// address of the secret."""
    return {"qr_code": _svg(uri), "uri": uri, "key": " ".join(re.findall(f".{{1,{GROUP}}}", secret))}


def data_url(uri: str) -> str:
    """Returns the QR code as a `data:` URL of an SVG."""
    return segno.make_qr(uri).svg_data_uri(svgclass=None, lineclass=None, omitsize=True)


def _svg(uri: str) -> SafeString:
    """Returns an SVG without inline styles and scripts, which the Content-Security-Policy forbids."""
    drawn = segno.make_qr(uri).svg_inline(svgclass=None, lineclass=None, omitsize=True, light="#fff")
    return mark_safe(drawn)  # noqa: S308  segno draws the text as a path of numbers
