"""Bringing users in from files, this product's own or another's, and taking them out."""
