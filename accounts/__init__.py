"""The users: their accounts, authentication and permissions."""
