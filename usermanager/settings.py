"""Every setting of the project. Operators choose theirs with environment variables; see .env.example."""

import os
from datetime import timedelta
from pathlib import Path
from tempfile import gettempdir
from urllib.parse import urlsplit

from usermanager import database_settings, prometheus_multiprocess  # noqa: F401 - before anything is counted
from usermanager.connection_urls import Secret
from usermanager.data_dir import create_private_folder, read_or_create_secret
from usermanager.environment import Environment, host_of, make_or_stop, name_and_address, passkey_domain, public_name
from usermanager.log_settings import logging_settings

os.umask(0o077)  # only the owner can read the files that a process writes, even if others may enter DATA_DIR
BASE_DIR = Path(__file__).resolve().parent.parent
cores = str(os.cpu_count() or 1)

env = Environment()
env.read_env(os.environ.get("ENV_FILE", BASE_DIR / ".env"), recurse=False)

# The operator's choices -----------------------------------------------------------------------------------------------

DATA_DIR = BASE_DIR / env.path("DATA_DIR", Path("var"))
DEBUG = env.flag("DEBUG", "false")
SECRET_KEY = Secret(env.str("SECRET_KEY", ""))

BIND = env.bind_address("BIND", "127.0.0.1")
PORT = env.number("PORT", "8000", least=1, most=65535)
PUBLIC_URL = env.base_url("PUBLIC_URL", "", may_have_path=False)
FRONTEND_URL = env.base_url("FRONTEND_URL", "")
TRUSTED_PROXIES = env.number("TRUSTED_PROXIES", "0", least=0, most=10)
ALLOWED_HOSTS = env.host_names("ALLOWED_HOSTS", [])
CORS_ALLOWED_ORIGINS = env.cors_origins("CORS_ALLOWED_ORIGINS", [])
METRICS_ALLOWED = env.networks("METRICS_ALLOWED", "127.0.0.1,::1")
WEB_WORKERS = env.number("WEB_WORKERS", cores, least=1, most=256)
WEB_THREADS = env.number("WEB_THREADS", "8", least=1, most=256)

database = env.database("DATABASE_URL", "sqlite:///usermanager.sqlite3", folder=DATA_DIR)
CELERY_BROKER_URL = env.broker("CELERY_BROKER_URL", "")
email_settings = env.email_backend("EMAIL_URL", (DATA_DIR / "mail").as_uri())
DEFAULT_FROM_EMAIL = env.sender("EMAIL_FROM", "UserManager <no-reply@localhost>")
EMAIL_EHLO_NAME = env.ehlo_name("EMAIL_EHLO_NAME", "")

ADMIN_EMAIL = env.email_address("ADMIN_EMAIL", "admin@example.com")
ADMIN_PASSWORD = Secret(env.str("ADMIN_PASSWORD", ""))
PASSKEY_LOGIN = env.flag("PASSKEY_LOGIN", "true")
PASSKEY_RP_ID = env.str("PASSKEY_RP_ID", "")
PASSKEY_ORIGINS = env.cors_origins("PASSKEY_ORIGINS", [])
PASSKEY_APPS = env.passkey_apps("PASSKEY_APPS", [])
REGISTRATION_OPEN = env.flag("REGISTRATION_OPEN", "true")
EMAIL_VERIFICATION = env.choice("EMAIL_VERIFICATION", "optional", choices=("optional", "required"))
NEW_LOGIN_MAIL = env.flag("NEW_LOGIN_MAIL", "false")

ACCESS_TOKEN_LIFETIME = env.duration("ACCESS_TOKEN_LIFETIME", "15m")
SESSION_LIFETIME = env.duration("SESSION_LIFETIME", "30d")
SESSION_IDLE_LIFETIME = env.duration("SESSION_IDLE_LIFETIME", "14d")
MFA_GRACE = env.duration("MFA_GRACE", "7d", least=timedelta())
MFA_LOGIN_LIFETIME = env.duration("MFA_LOGIN_LIFETIME", "5m")
MFA_ENROLMENT_LIFETIME = env.duration("MFA_ENROLMENT_LIFETIME", "24h")
FRESH_LOGIN_LIFETIME = env.duration("FRESH_LOGIN_LIFETIME", "10m")
PASSWORD_RESET_LIFETIME = env.duration("PASSWORD_RESET_LIFETIME", "1h")
EMAIL_VERIFICATION_LIFETIME = env.duration("EMAIL_VERIFICATION_LIFETIME", "3d")
INVITATION_LIFETIME = env.duration("INVITATION_LIFETIME", "7d")
REFRESH_GRACE = env.duration("REFRESH_GRACE", "10s", least=timedelta())

ENCRYPTION_KEYS = env.encryption_keys("ENCRYPTION_KEYS", [])
FIREBASE_SIGNER_KEY = env.base64_secret("FIREBASE_SIGNER_KEY", b"")
BCRYPT_ROUNDS = env.number("BCRYPT_ROUNDS", "12", least=4, most=16)
PASSWORD_MIN_LENGTH = env.number("PASSWORD_MIN_LENGTH", "8", least=8, most=64)
LOGIN_CONCURRENCY = env.number("LOGIN_CONCURRENCY", cores, least=1, most=256)
LOGIN_QUEUE = env.number("LOGIN_QUEUE", "32", least=0, most=10_000)

RATE_LIMITS = env.flag("RATE_LIMITS", "true")
RATE_LOGIN = env.rate("RATE_LOGIN", "5/5m")
RATE_LOGIN_IP = env.rate("RATE_LOGIN_IP", "60/1h")
RATE_LOGIN_ACCOUNT = env.rate("RATE_LOGIN_ACCOUNT", "100/1d")
RATE_LOGIN_SUCCESS = env.rate("RATE_LOGIN_SUCCESS", "30/5m")
RATE_SECOND_FACTOR = env.rate("RATE_SECOND_FACTOR", "5/15m")
RATE_SECOND_FACTOR_ROW = env.rate("RATE_SECOND_FACTOR_ROW", "100/365d")
RATE_PASSKEY_IP = env.rate("RATE_PASSKEY_IP", "60/1h")
RATE_REGISTER = env.rate("RATE_REGISTER", "10/1h")
RATE_PASSWORD = env.rate("RATE_PASSWORD", "60/1h")
RATE_MAIL = env.rate("RATE_MAIL", "5/1h")
RATE_MAIL_IP = env.rate("RATE_MAIL_IP", "30/1h")
RATE_TOKEN = env.rate("RATE_TOKEN", "20/1h")
RATE_EMAIL_CHANGE = env.rate("RATE_EMAIL_CHANGE", "5/1h")
RATE_WRITE = env.rate("RATE_WRITE", "120/1h")
RATE_EXPORT = env.rate("RATE_EXPORT", "5/1h")

# To add a language, add a line here, a catalogue in each locale/ folder and a folder of email templates.
LANGUAGES = [("en", "English"), ("es", "Español")]
LANGUAGE_CODE = env.choice("LANGUAGE_CODE", "en", choices=dict(LANGUAGES))
LOG_FORMAT = env.choice("LOG_FORMAT", "console", choices=("console", "json"))
LOG_LEVEL = env.choice("LOG_LEVEL", "info", choices=("debug", "info", "warning", "error", "critical"))

env.stop_on_errors()

# Values that depend on several variables or on the disk:
PUBLIC_URL = PUBLIC_URL or f"http://localhost:{PORT}"
ALLOWED_HOSTS = ALLOWED_HOSTS or [host_of(PUBLIC_URL), "localhost", "127.0.0.1"]
PASSKEY_RP_ID = passkey_domain(PASSKEY_RP_ID, PUBLIC_URL)
EMAIL_EHLO_NAME = EMAIL_EHLO_NAME or public_name(PUBLIC_URL)  # empty: the machine's own name
SITE_NAME = name_and_address(DEFAULT_FROM_EMAIL)[0] or urlsplit(PUBLIC_URL).hostname  # in emails and on pages
LOG_LEVEL = LOG_LEVEL.upper()
DATA_DIR = make_or_stop("DATA_DIR", DATA_DIR, create_private_folder)
make_or_stop("TMPDIR", Path(os.environ.get("TMPDIR") or "/tmp"), lambda _path: gettempdir())  # noqa: S108 - only named
SECRET_KEY = SECRET_KEY or make_or_stop("DATA_DIR", DATA_DIR / "secret_key", read_or_create_secret)

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
    "usermanager.middleware.RequestContextMiddleware",
    "usermanager.middleware.SecurityHeadersMiddleware",
    "usermanager.middleware.RateLimitHeadersMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "usermanager.middleware.CorsMiddleware",
    "usermanager.middleware.LanguageMiddleware",
    "usermanager.middleware.PathMiddleware",
    "usermanager.middleware.ApiMiddleware",  # the next ones are for pages
    "django.middleware.security.SecurityMiddleware",
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

IS_SQLITE = database_settings.is_sqlite(database)
DATABASE_FILE = database["NAME"] if IS_SQLITE else ""  # a path, or :memory:
DATABASES = {"default": database_settings.complete(database)}

LOCALE_PATHS = [BASE_DIR / "usermanager" / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
WHITENOISE_ALLOW_ALL_ORIGINS = False
WHITENOISE_USE_FINDERS = True  # serves the files from their packages, so that a start needs no collectstatic

# Users and passwords --------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.backends.LoginBackend"]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"  # after a login whose form names no next page
CSRF_FAILURE_VIEW = "usermanager.error_handlers.forbidden"
PASSWORD_HASHERS = [
    "accounts.hashing.hashers.BCryptSHA256",
    "accounts.hashing.hashers.BCrypt",
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2SHA1PasswordHasher",
    "accounts.hashing.hashers.WordPressBCrypt",
    *(f"accounts.hashing.imported_hashers.{name}" for name in ("Scrypt", "ImportedPBKDF2", "ImportedScrypt")),
    *(f"accounts.hashing.imported_hashers.{name}" for name in ("FirebaseScrypt", "Phpass")),
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "accounts.hashing.password_policy.LengthValidator"},
    {"NAME": "accounts.hashing.password_policy.StrengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# Security -------------------------------------------------------------------------------------------------------------

IS_HTTPS = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = IS_HTTPS
# With this prefix, browsers accept the cookie from this host alone, and not from other hosts of its domain.
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = (
    f"{'__Host-' if IS_HTTPS else ''}{name}" for name in ("sessionid", "csrftoken")
)
# The admin panel's cookie points to a row of accounts.Session and ends with it, so that no table of its own is needed.
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
SESSION_COOKIE_AGE = 12 * 60 * 60
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"  # a cookie for messages would have no prefix
CSRF_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_NAME = f"{'__Secure-' if IS_HTTPS else ''}language"
LANGUAGE_COOKIE_PATH = "/admin/"  # the API and the pages read Accept-Language only
LANGUAGE_COOKIE_AGE = 365 * 24 * 60 * 60
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
CSRF_TRUSTED_ORIGINS = ["://".join(urlsplit(PUBLIC_URL)[:2])]
SECURE_HSTS_SECONDS = 365 * 24 * 60 * 60 if IS_HTTPS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if IS_HTTPS and TRUSTED_PROXIES else None
# Not "no-referrer": browsers then send "Origin: null" with a form, which Django's CSRF check rejects.
SECURE_REFERRER_POLICY = "same-origin"
CORS_URLS_REGEX = r"^/api/.*$"
CORS_ALLOW_HEADERS = [
    *("accept", "accept-language", "authorization", "content-type", "if-none-match", "x-request-id"),
    *("traceparent", "tracestate", "baggage", "sentry-trace"),  # tracing libraries add these to every request
]
CORS_EXPOSE_HEADERS = ["etag", "location", "ratelimit", "ratelimit-policy", "retry-after"]
CORS_EXPOSE_HEADERS += ["www-authenticate", "x-request-id"]
SILENCED_SYSTEM_CHECKS = [
    "security.W008",  # the proxy that terminates TLS redirects; this server speaks plain HTTP behind it
    "security.W005",  # the product can't promise that other hosts of the domain speak HTTPS
    "security.W021",
    "auth.W004",  # the unique field is email_key, the canonical form of the email address
]

# The API --------------------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["accounts.api.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["accounts.api.parsers.StrictJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "accounts.api.content_negotiation.ContentNegotiation",
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.jwt.access_tokens.SessionJWTAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_SCHEMA_CLASS": "accounts.api.schema.OperationSchema",
    "DEFAULT_PAGINATION_CLASS": None,
    "DEFAULT_METADATA_CLASS": None,
    "URL_FORMAT_OVERRIDE": None,  # ?format= has no meaning, like any unknown query parameter
    "EXCEPTION_HANDLER": "accounts.api.errors.handle",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "UserManager",
    "DESCRIPTION": "Registration, login, recovery by email, roles and the administration of users.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": "/api/v1/",
    "SERVE_INCLUDE_SCHEMA": False,
}

# Emails and tasks -----------------------------------------------------------------------------------------------------

EMAIL_TIMEOUT = 10
globals().update(email_settings)

CELERY_RESULT_BACKEND = "django-db" if CELERY_BROKER_URL else "disabled"
CELERY_RESULT_EXPIRES = timedelta(days=7)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_STORE_ERRORS_EVEN_IF_IGNORED = True
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_DEFAULT_QUEUE = "mail.now.v1"
CELERY_TASK_QUEUES = {name: {"exchange": name, "routing_key": name} for name in ("mail.now.v1", "mail.bulk.v1")}
CELERY_TASK_TIME_LIMIT = 90  # seconds; sending an email times out after 30, so this ends a process that hangs
CELERY_TASK_DEFAULT_QUEUE_TYPE = "classic"
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False  # else any client of the broker could read settings and stop workers
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_DB_REUSE_MAX = 10_000  # else Celery reconnects for each task; our tasks check the connection themselves
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TIMEZONE = "UTC"

# Logs -----------------------------------------------------------------------------------------------------------------

LOGGING = logging_settings(LOG_FORMAT, LOG_LEVEL)
