"""Django's database backend for SQLite, extended so that writers take turns."""
