"""Queues of one test alone: found by the names that the product uses, called otherwise at the broker."""

from kombu import Exchange, Queue

NAMES = ("mail.now.v1", "mail.bulk.v1")


def queues(prefix: str) -> list[Queue]:
    return [Queue(f"{prefix}.{name}", Exchange(f"{prefix}.{name}"), routing_key=name, alias=name) for name in NAMES]
