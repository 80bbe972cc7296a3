"""The relying party of WebAuthn: the domain that passkeys belong to, and the web pages and apps that may use them."""

from base64 import urlsafe_b64encode
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

_DEFAULT_PORTS = {"http": 80, "https": 443}


def name() -> str:
    """Returns the name that authenticators show."""
    return str(settings.SITE_NAME)


def domain() -> str:
    """Returns the RP ID."""
    return str(settings.PASSKEY_RP_ID)


def origins() -> list[str]:
    """Returns all origins whose passkeys are accepted: those of web pages, and those that apps send."""
    return [*web_origins(), *_origins_of_apps()]


def web_origins() -> list[str]:
    """Returns PASSKEY_ORIGINS or, by default, the origins of PUBLIC_URL and FRONTEND_URL, as browsers spell them."""
    urls = settings.PASSKEY_ORIGINS or [url for url in (settings.PUBLIC_URL, settings.FRONTEND_URL) if url]
    return list(dict.fromkeys(map(_origin, urls)))


def related_origins() -> list[str]:
    """Returns the origins outside the RP ID. Browsers let them use its passkeys if /.well-known/webauthn lists them."""
    return [origin for origin in web_origins() if not _is_in_domain(urlsplit(origin).hostname or "")]


def android_apps() -> dict[str, list[str]]:
    """Returns the fingerprints of the certificates of each Android app, by the name of its package."""
    found: dict[str, list[str]] = {}
    for app in _apps("android"):
        package, _equals, fingerprint = app.partition("=")
        found.setdefault(package, []).append(fingerprint)
    return found


def ios_apps() -> list[str]:
    """Returns the iOS apps, each as its team and its bundle."""
    return _apps("ios")


def asset_links() -> list[dict[str, Any]]:
    """Returns the document with which Android lets the apps use the passkeys of the domain."""
    return [
        {
            "relation": ["delegate_permission/common.get_login_creds"],
            "target": {"namespace": "android_app", "package_name": package, "sha256_cert_fingerprints": fingerprints},
        }
        for package, fingerprints in android_apps().items()
    ]


def _apps(platform: str) -> list[str]:
    prefix = f"{platform}:"
    return [app.removeprefix(prefix) for app in settings.PASSKEY_APPS if app.startswith(prefix)]


def _origins_of_apps() -> list[str]:
    """Android sends the hash of the app's certificate as origin, and iOS the domain of the passkey."""
    hashes = [bytes.fromhex(one.replace(":", "")) for prints in android_apps().values() for one in prints]
    android = [f"android:apk-key-hash:{urlsafe_b64encode(one).decode().rstrip('=')}" for one in hashes]
    return [*android, f"https://{domain()}"] if ios_apps() else android


def _origin(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host.encode("idna").decode("ascii")
    is_default = parts.port in {None, _DEFAULT_PORTS[parts.scheme]}
    return f"{parts.scheme}://{host}" if is_default else f"{parts.scheme}://{host}:{parts.port}"


def _is_in_domain(host: str) -> bool:
    return f".{host}".endswith(f".{domain().strip('[]')}")
