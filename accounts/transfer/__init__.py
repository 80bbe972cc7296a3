"""Imports users from files of UserManager or of another product, and exports them."""
