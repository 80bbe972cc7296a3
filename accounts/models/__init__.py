"""What is stored about users: one file a concept."""

from accounts.models.audit_event import AuditChain, AuditEvent, AuditRegistry
from accounts.models.import_run import ImportRun
from accounts.models.one_time_token import OneTimeToken
from accounts.models.rate_bucket import RateBucket
from accounts.models.role import Role
from accounts.models.session import Session
from accounts.models.user import User

__all__ = [
    "AuditChain",
    "AuditEvent",
    "AuditRegistry",
    "ImportRun",
    "OneTimeToken",
    "RateBucket",
    "Role",
    "Session",
    "User",
]
