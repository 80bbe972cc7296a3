"""Password hashing: the hashers, the password policy, and the limit on concurrent hashes."""
