"""The configuration of Python's logging."""

from typing import Any


def logging_settings(formatter: str, level: str) -> dict[str, Any]:
    """Returns the configuration for lines in the format `console` or `json`, from this level on."""
    # Replaces Django's own handlers: they email tracebacks to ADMINS, and print each line twice when DEBUG is on.
    levels = {
        "django": level,
        "django.db.backends": "INFO",  # below INFO it logs SQL with values, such as password hashes and addresses
        "django.template": "INFO",  # below INFO it logs template contexts, which hold emailed links
        "django.security.DisallowedHost": "CRITICAL",
        "gunicorn.error": "WARNING",
        "celery.worker.strategy": "WARNING",  # below WARNING, both log each task;
        "celery.app.trace": "WARNING",  # notifications logs what became of its email
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {name: {"()": f"usermanager.logs.{name}"} for name in ("RequestIdFilter", "TemporaryErrorFilter")},
        "formatters": {
            "console": {"()": "usermanager.logs.ConsoleFormatter"},
            "json": {
                "()": "pythonjsonlogger.json.JsonFormatter",
                "format": "{asctime}{levelname}{name}{request_id}{message}",
                "style": "{",
                "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger"},
            },
        },
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": formatter, "filters": ["RequestIdFilter"]}
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {name: {"handlers": [], "level": least, "propagate": True} for name, least in levels.items()}
        # usermanager.access has a line for each request.
        | {"django.request": {"level": "ERROR", "filters": ["TemporaryErrorFilter"]}},
    }
