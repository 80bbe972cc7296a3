"""The models: one file per concept."""

from accounts.models.audit_event import AuditChain, AuditEvent, AuditRegistry
from accounts.models.import_run import ImportRun
from accounts.models.one_time_token import OneTimeToken
from accounts.models.passkey import Passkey
from accounts.models.pending_login import PendingLogin
from accounts.models.rate_bucket import RateBucket
from accounts.models.recovery_code import RecoveryCode
from accounts.models.role import Role
from accounts.models.session import Session
from accounts.models.spent_challenge import SpentChallenge
from accounts.models.totp_secret import TotpSecret
from accounts.models.user import User

__all__ = [
    "AuditChain",
    "AuditEvent",
    "AuditRegistry",
    "ImportRun",
    "OneTimeToken",
    "Passkey",
    "PendingLogin",
    "RateBucket",
    "RecoveryCode",
    "Role",
    "Session",
    "SpentChallenge",
    "TotpSecret",
    "User",
]
