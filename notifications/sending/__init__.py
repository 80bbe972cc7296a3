"""Sends the emails of the outbox: the relay and its workers, the broker, SMTP, and the hold on the queue."""
