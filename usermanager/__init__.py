"""The Django project: connects the apps, and has no business rules of its own."""
