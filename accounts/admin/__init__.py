"""The admin panel: a thin skin over Django's own, in which every change is made by a use case."""

from accounts.admin import audit, history, roles, sessions, signing_in, site, users

__all__ = ["audit", "history", "roles", "sessions", "signing_in", "site", "users"]
