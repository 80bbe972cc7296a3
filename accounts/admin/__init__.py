"""The admin panel: Django's own, with our permissions and style; every change is a use case."""

from accounts.admin import audit, login, recent_events, roles, sessions, site, users

__all__ = ["audit", "login", "recent_events", "roles", "sessions", "site", "users"]
