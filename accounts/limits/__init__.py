"""Rate limits: counts attempts, and tells the client how many are left."""
