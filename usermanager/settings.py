"""Every setting of the project; what an operator may choose is read from the environment (see .env.example)."""

import os
from datetime import timedelta
from pathlib import Path
from tempfile import gettempdir
from urllib.parse import urlsplit

from django.utils.translation import gettext_lazy as _

from usermanager import (
    counts,  # noqa: F401 - before anything is counted
    database_settings,
)
from usermanager.environment import Environment, host_of, in_base64, private_folder, secret_made_once, sender_of

os.umask(0o077)  # whatever any process of ours writes is for its owner alone, whatever the mode of DATA_DIR
BASE_DIR = Path(__file__).resolve().parent.parent
CORES = os.cpu_count() or 1

env = Environment()
env.read_env(os.environ.get("ENV_FILE", BASE_DIR / ".env"), recurse=False)

# What an operator may choose ------------------------------------------------------------------------------------------

DATA_DIR = env.read("DATA_DIR", BASE_DIR / "var", lambda path: BASE_DIR / path, "the path of a folder")
DEBUG = env.flag("DEBUG", False)
SECRET_KEY = env.secret("SECRET_KEY")

BIND = env.bind_address("BIND", "127.0.0.1")
PORT = env.number("PORT", 8000, least=1, most=65535)
PUBLIC_URL = env.base_url("PUBLIC_URL", f"http://localhost:{PORT}", has_path=False)
FRONTEND_URL = env.base_url("FRONTEND_URL", "")
TRUSTED_PROXIES = env.number("TRUSTED_PROXIES", 0, least=0, most=10)
ALLOWED_HOSTS = env.hosts("ALLOWED_HOSTS", [host_of(PUBLIC_URL), "localhost", "127.0.0.1"])
CORS_ALLOWED_ORIGINS = env.origins("CORS_ALLOWED_ORIGINS")
METRICS_ALLOWED = env.networks("METRICS_ALLOWED", "127.0.0.1,::1")
WEB_WORKERS = env.number("WEB_WORKERS", CORES, least=1, most=256)
WEB_THREADS = env.number("WEB_THREADS", 8, least=1, most=256)

DATABASE = env.database("DATABASE_URL", DATA_DIR / "usermanager.sqlite3")
CELERY_BROKER_URL = env.broker("CELERY_BROKER_URL")
MAIL = env.mail("EMAIL_URL", DATA_DIR / "mail")
DEFAULT_FROM_EMAIL = env.sender("EMAIL_FROM", "UserManager <no-reply@localhost>")
EMAIL_EHLO_NAME = env.ehlo_name("EMAIL_EHLO_NAME", PUBLIC_URL)  # empty: the machine's own name
SITE_NAME = sender_of(DEFAULT_FROM_EMAIL)[0] or urlsplit(PUBLIC_URL).hostname  # in mails and on pages

ADMIN_EMAIL = env.address("ADMIN_EMAIL", "admin@example.com")
ADMIN_PASSWORD = env.secret("ADMIN_PASSWORD")
REGISTRATION_OPEN = env.flag("REGISTRATION_OPEN", True)
EMAIL_VERIFICATION = env.choice("EMAIL_VERIFICATION", "optional", ("optional", "required"))
NEW_LOGIN_MAIL = env.flag("NEW_LOGIN_MAIL", False)

ACCESS_TOKEN_LIFETIME = env.duration("ACCESS_TOKEN_LIFETIME", "15m")
SESSION_LIFETIME = env.duration("SESSION_LIFETIME", "30d")
SESSION_IDLE_LIFETIME = env.duration("SESSION_IDLE_LIFETIME", "14d")
PASSWORD_RESET_LIFETIME = env.duration("PASSWORD_RESET_LIFETIME", "1h")
EMAIL_VERIFICATION_LIFETIME = env.duration("EMAIL_VERIFICATION_LIFETIME", "3d")
INVITATION_LIFETIME = env.duration("INVITATION_LIFETIME", "7d")
REFRESH_GRACE = env.duration("REFRESH_GRACE", "10s", least=timedelta())

FIREBASE_SIGNER_KEY = env.read("FIREBASE_SIGNER_KEY", b"", in_base64, "the secret itself, in base64")
BCRYPT_ROUNDS = env.number("BCRYPT_ROUNDS", 12, least=4, most=16)
PASSWORD_MIN_LENGTH = env.number("PASSWORD_MIN_LENGTH", 8, least=8, most=64)
LOGIN_CONCURRENCY = env.number("LOGIN_CONCURRENCY", CORES, least=1, most=256)
LOGIN_QUEUE = env.number("LOGIN_QUEUE", 32, least=0, most=10_000)

RATE_LIMITS = env.flag("RATE_LIMITS", True)
RATE_LOGIN = env.rate("RATE_LOGIN", "5/5m")
RATE_LOGIN_IP = env.rate("RATE_LOGIN_IP", "60/1h")
RATE_LOGIN_ACCOUNT = env.rate("RATE_LOGIN_ACCOUNT", "100/1d")
RATE_LOGIN_SUCCESS = env.rate("RATE_LOGIN_SUCCESS", "30/5m")
RATE_REGISTER = env.rate("RATE_REGISTER", "10/1h")
RATE_PASSWORD = env.rate("RATE_PASSWORD", "60/1h")
RATE_MAIL = env.rate("RATE_MAIL", "5/1h")
RATE_MAIL_IP = env.rate("RATE_MAIL_IP", "30/1h")
RATE_TOKEN = env.rate("RATE_TOKEN", "20/1h")
RATE_EMAIL_CHANGE = env.rate("RATE_EMAIL_CHANGE", "5/1h")
RATE_WRITE = env.rate("RATE_WRITE", "120/1h")
RATE_EXPORT = env.rate("RATE_EXPORT", "5/1h")

LANGUAGE_CODE = env.choice("LANGUAGE_CODE", "en", ("en", "es"))
LOG_FORMAT = env.choice("LOG_FORMAT", "console", ("console", "json"))
LOG_LEVEL = env.choice("LOG_LEVEL", "info", ("debug", "info", "warning", "error", "critical")).upper()

env.stop_on_faults()
DATA_DIR = env.made("DATA_DIR", DATA_DIR, private_folder)
env.made("TMPDIR", Path(os.environ.get("TMPDIR") or "/tmp"), lambda _path: gettempdir())  # noqa: S108 - only named
SECRET_KEY = SECRET_KEY or env.made("DATA_DIR", DATA_DIR / "secret_key", secret_made_once)

# Django ---------------------------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "usermanager",
    "accounts",
    "notifications",
    "accounts.apps.PanelConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "corsheaders",
    "django_celery_results",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rest_framework",
]

MIDDLEWARE = [
    "usermanager.middleware.RequestContext",
    "usermanager.middleware.SecurityHeaders",
    "usermanager.middleware.RateLimits",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "usermanager.middleware.Paths",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "usermanager.urls"
WSGI_APPLICATION = "usermanager.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024  # the admin's forms; the API takes 64 KiB

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

IS_SQLITE = database_settings.is_sqlite(DATABASE)
DATABASES = {"default": database_settings.complete(DATABASE)}

LANGUAGES = [("en", _("English")), ("es", _("Spanish"))]
LOCALE_PATHS = [BASE_DIR / "usermanager" / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
WHITENOISE_ALLOW_ALL_ORIGINS = False
WHITENOISE_USE_FINDERS = True  # the files are served from their packages: nothing to collect before a start

# People and passwords -------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.backends.LoginBackend"]
LOGIN_URL = "admin:login"
CSRF_FAILURE_VIEW = "usermanager.faults.forbidden"
PASSWORD_HASHERS = [
    "accounts.hashers.BCryptSHA256",
    "accounts.hashers.BCrypt",
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2SHA1PasswordHasher",
    "accounts.hashers.WordPressBCrypt",
    *(f"accounts.foreign_hashers.{name}" for name in ("Scrypt", "ForeignPBKDF2", "ForeignScrypt")),
    *(f"accounts.foreign_hashers.{name}" for name in ("FirebaseScrypt", "Phpass")),
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "accounts.password_policy.LengthValidator"},
    {"NAME": "accounts.password_policy.StrengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# Security -------------------------------------------------------------------------------------------------------------

IS_HTTPS = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = IS_HTTPS
# With this prefix browsers take a cookie from this very host alone, never from another one of its domain.
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = (
    f"{'__Host-' if IS_HTTPS else ''}{name}" for name in ("sessionid", "csrftoken")
)
# Of the admin panel, and little more than a pointer to a session of ours, which ends it: nothing is left of who leaves.
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
SESSION_COOKIE_AGE = 12 * 60 * 60
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"  # a cookie of its own has no prefix
CSRF_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_NAME = f"{'__Secure-' if IS_HTTPS else ''}language"
LANGUAGE_COOKIE_PATH = "/admin/"  # the API and the pages ask Accept-Language alone
LANGUAGE_COOKIE_AGE = 365 * 24 * 60 * 60
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
CSRF_TRUSTED_ORIGINS = ["://".join(urlsplit(PUBLIC_URL)[:2])]
SECURE_HSTS_SECONDS = 365 * 24 * 60 * 60 if IS_HTTPS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if IS_HTTPS and TRUSTED_PROXIES else None
# Not "no-referrer": browsers then send "Origin: null" with a form, which Django's CSRF check refuses.
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CORS_URLS_REGEX = r"^/api/.*$"
CORS_ALLOW_HEADERS = [
    *("accept", "accept-language", "authorization", "content-type", "if-none-match", "x-request-id"),
    *("traceparent", "tracestate", "baggage", "sentry-trace"),  # what tracing libraries add to every request
]
CORS_EXPOSE_HEADERS = [
    *("etag", "location", "ratelimit", "ratelimit-policy", "retry-after", "www-authenticate", "x-request-id"),
]
SILENCED_SYSTEM_CHECKS = [
    "security.W008",  # the proxy that ends TLS redirects; this server answers on plain HTTP behind it
    "security.W005",  # whether other hosts of the domain speak HTTPS is not this product's to promise
    "security.W021",
    "auth.W004",  # it is the canonical form of the address, email_key, that is unique
]

# The API --------------------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["accounts.api.parsers.StrictJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "accounts.api.negotiation.Negotiation",
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.access_tokens.SessionJWTAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_SCHEMA_CLASS": "accounts.api.schema.OperationSchema",
    "DEFAULT_PAGINATION_CLASS": None,
    "DEFAULT_METADATA_CLASS": None,
    "URL_FORMAT_OVERRIDE": None,  # ?format= is a query key like any other that nothing reads
    "EXCEPTION_HANDLER": "accounts.api.errors.handle",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "UserManager",
    "DESCRIPTION": "Registration, sign-in, recovery by mail, roles and the administration of users.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": "/api/v1/",
    "SERVE_INCLUDE_SCHEMA": False,
}

# Mail and tasks -------------------------------------------------------------------------------------------------------

EMAIL_TIMEOUT = 10
globals().update(MAIL)

CELERY_RESULT_BACKEND = "django-db" if CELERY_BROKER_URL else "disabled"
CELERY_RESULT_EXPIRES = timedelta(days=7)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_STORE_ERRORS_EVEN_IF_IGNORED = True
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_DEFAULT_QUEUE = "mail.now.v1"
CELERY_TASK_QUEUES = {name: {"exchange": name, "routing_key": name} for name in ("mail.now.v1", "mail.bulk.v1")}
CELERY_TASK_TIME_LIMIT = 90  # seconds; a mail's conversation ends after 30, so this is for a process that hangs
CELERY_TASK_DEFAULT_QUEUE_TYPE = "classic"
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False  # else every client of the broker may read settings and stop workers
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_DB_REUSE_MAX = 10_000  # else Celery connects anew for each task; ours look whether the connection is still good
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TIMEZONE = "UTC"

# Logs -----------------------------------------------------------------------------------------------------------------

# Django's own handlers go: they mail tracebacks to ADMINS and print each line a second time when DEBUG is on.
LEVELS = {
    "django": LOG_LEVEL,
    "django.db.backends": "INFO",  # statements with their values: hashes, addresses, keys of sessions
    "django.template": "INFO",  # contexts, and with them mailed links
    "django.request": "ERROR",  # usermanager.access has the rest
    "django.security.DisallowedHost": "CRITICAL",
    "gunicorn.error": "WARNING",
    "celery.worker.strategy": "WARNING",  # a line for each task that comes: what becomes of each mail,
    "celery.app.trace": "WARNING",  # notifications.delivery says
}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request_id": {"()": "usermanager.logs.RequestIdFilter"}},
    "formatters": {
        "console": {"format": "{asctime} {levelname:<7} {name} [{request_id}] {message}", "style": "{"},
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "format": "{asctime}{levelname}{name}{request_id}{message}",
            "style": "{",
            "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger"},
        },
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT, "filters": ["request_id"]},
    },
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {name: {"handlers": [], "level": level, "propagate": True} for name, level in LEVELS.items()},
}
