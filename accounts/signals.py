"""What this app tells the others; each signal is sent inside the transaction of what it tells about.

A receiver that writes to the database therefore writes in that transaction: both stand, or neither.
"""

from django.dispatch import Signal

#: A user exists who was not there before, with a password of their own. Arguments: user.
user_registered = Signal()

#: Somebody registered an address that has an account already. Arguments: email.
registration_repeated = Signal()

#: An address was registered again that nobody has confirmed: the account has no password any more, and its older links
#: ended. Arguments: user.
registration_withdrawn = Signal()

#: An address was confirmed for the first time. Arguments: user.
email_verified = Signal()

#: Somebody wants a new confirmation link; nobody looked whether the address is known. Arguments: email.
email_verification_requested = Signal()

#: Somebody forgot a password; nobody looked whether the address is known. Arguments: email.
password_reset_requested = Signal()

#: Logins from networks that an account is not known from are refused, as too many failed; nobody looked whether the
#: address is known. Once in a window. Arguments: email.
login_blocked = Signal()

#: A password was set by its user, by a reset or by a change. Arguments: user.
password_changed = Signal()

#: A user wants another address; nobody looked whether it is known. Arguments: user, new_email.
email_change_requested = Signal()

#: A user has another address now. Arguments: user, old_email.
email_changed = Signal()

#: An account waits for its owner to choose a password. Arguments: user.
user_invited = Signal()

#: An account waits for nobody any more: its invitation was taken back. Arguments: user.
invitation_revoked = Signal()

#: Somebody signed in. Arguments: user, session.
session_opened = Signal()

#: A user may no longer sign in. Arguments: user.
user_suspended = Signal()

#: A user is locked out and being deleted. Sent outside of any transaction, and again after a crash: receivers delete
#: what they hold in slices (accounts.pruning). Arguments: user.
user_leaving = Signal()

#: A user is about to be deleted; the row still stands, and little of what was theirs. Arguments: user.
user_deleted = Signal()

#: Somebody wants to see what is stored about them; each receiver returns a dict of a name and pages of records, which
#: are read while they are sent (accounts.batches).
#: Arguments: user.
personal_data_wanted = Signal()

#: About a second has passed. The relay says so, outside of any transaction, to whoever has something to do in time.
time_passed = Signal()

#: A request begins to wait for a password hash, or to be refused one slowly, outside any transaction. No arguments.
hash_awaited = Signal()
