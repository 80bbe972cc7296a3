"""Names the device of a User-Agent header."""

import re

from django.utils.translation import gettext as _

# The first match counts. Browsers include the names of others, so the more specific name comes first.
PROGRAMS = {
    "Edge": r"Edg(e|A|iOS)?/",
    "Opera": r"OPR/|Opera",
    "Samsung Internet": r"SamsungBrowser/",
    "Firefox": r"Firefox/|FxiOS/",
    "Chromium": r"Chromium/",
    "Chrome": r"(Headless)?Chrome/|CriOS/",
    "Safari": r"Safari/",
    "curl": r"^curl/",
    "Wget": r"^Wget/",
    "Python": r"^python|^Python|aiohttp|httpx",
    "Postman": r"PostmanRuntime/",
    "OkHttp": r"okhttp/",
    "Dart": r"^Dart/",
}
SYSTEMS = {
    "iPad": r"iPad",
    "iPhone": r"iPhone",
    "Android": r"Android",
    "ChromeOS": r"CrOS",
    "Windows": r"Windows",
    "macOS": r"Mac OS X|Macintosh|Darwin",
    "Linux": r"Linux|X11",
}


def device_name(user_agent: str) -> str:
    """Returns for example "Firefox on Windows"; the start of the header if it is unknown."""
    program, system = _found(PROGRAMS, user_agent), _found(SYSTEMS, user_agent)
    if program and system:
        return _("%(program)s on %(system)s") % {"program": program, "system": system}
    return program or system or user_agent[:40] or _("unknown device")


def _found(names: dict[str, str], user_agent: str) -> str | None:
    return next((name for name, pattern in names.items() if re.search(pattern, user_agent)), None)
