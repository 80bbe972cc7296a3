"""Primary keys that grow with time, so that pages by id alone are pages by age."""

import uuid

import uuid_utils.compat


def new_id() -> uuid.UUID:
    """A UUID of version 7 (RFC 9562): milliseconds first, then 74 random bits."""
    return uuid_utils.compat.uuid7()
