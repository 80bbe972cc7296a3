"""Who the users are and how they prove it."""
