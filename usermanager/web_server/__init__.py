"""The gunicorn worker, which reads requests without occupying a thread."""
