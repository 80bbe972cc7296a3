"""Puts the request's id into every line that is logged."""

import logging

from accounts import origin


class RequestIdFilter(logging.Filter):
    """Always lets the line through; one that belongs to no request carries a dash."""

    def filter(self, record: logging.LogRecord) -> bool:
        current = origin.current.get(None)
        record.request_id = current.request_id if current else "-"
        return True
