"""The signals of this app. Each is sent inside the transaction of the change that it announces.

A receiver that writes to the database writes in the same transaction: either all of it is stored or nothing.
"""

from django.dispatch import Signal

#: A new user with their own password was created. Arguments: user.
user_registered = Signal()

#: A client registered an address that has an account already. Arguments: email.
registration_repeated = Signal()

#: A client registered an unconfirmed address again: the account's password was removed, and its older links ended.
#: Arguments: user.
registration_withdrawn = Signal()

#: A user confirmed an address for the first time. Arguments: user.
email_verified = Signal()

#: A client requested a new confirmation link. The address may be unknown. Arguments: email.
email_verification_requested = Signal()

#: A client requested a password reset. The address may be unknown. Arguments: email.
password_reset_requested = Signal()

#: Too many logins failed, so logins from networks that the account is not known from are rejected. Sent once per window
#: of the limit. The address may be unknown. Arguments: email.
login_blocked = Signal()

#: A user set a password, by a reset or by a change. Arguments: user.
password_changed = Signal()

#: A user requested a change of address. The new one may belong to another user. Arguments: user, new_email.
email_change_requested = Signal()

#: A user's address changed. Arguments: user, old_email.
email_changed = Signal()

#: A user was invited to choose a password. Arguments: user.
user_invited = Signal()

#: A user's invitation was revoked. Arguments: user.
invitation_revoked = Signal()

#: A user signed in. Arguments: user, session.
session_opened = Signal()

#: The first wrong second factor of a window, after the right password. Arguments: user.
second_factor_failed = Signal()

#: A user added a second factor. Arguments: user, factor (its name), is_first.
factor_added = Signal()

#: A user removed a second factor. Arguments: user, factor (its name).
factor_removed = Signal()

#: A user got new recovery codes, and not with a first factor. Arguments: user.
recovery_codes_made = Signal()

#: A user signed in, or authenticated again, with a recovery code. Arguments: user, left (the number of
#: codes that still work).
recovery_code_used = Signal()

#: A user signed in for the first time since their role requires a second factor. Arguments: user, due (a time).
second_factor_due = Signal()

#: An administrator reset the second factors of a user. Arguments: user, must_enrol.
second_factors_reset = Signal()

#: A user may no longer sign in. Arguments: user.
user_suspended = Signal()

#: The deletion of a user began; the user can't sign in any more. Sent outside any transaction, and again after a crash.
#: Receivers delete their rows in slices (accounts.pruning). Arguments: user.
user_leaving = Signal()

#: A user is about to be deleted. The row still exists, but most of the user's data is gone. Arguments: user.
user_deleted = Signal()

#: A user exports their data. Each receiver returns a dict of a name and pages of records, which are read while they are
#: sent (accounts.batches). Arguments: user.
personal_data_requested = Signal()

#: About a second has passed. The relay sends it, outside any transaction, for work that is due at a certain time.
time_passed = Signal()

#: A request begins to wait for a password hash, or for the delayed error of an overload. Sent outside any transaction.
#: No arguments.
hash_awaited = Signal()

#: A request that needs a password hash is rejected before any work, because its network gets no slot. No arguments.
hash_rejected = Signal()
