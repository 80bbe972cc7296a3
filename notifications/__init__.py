"""The emails to users: each is a row of the outbox, and stays pending until it is sent."""
