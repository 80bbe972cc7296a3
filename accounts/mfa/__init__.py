"""Second factors: what a user proves, how each kind is checked and used up, and which users need one."""
