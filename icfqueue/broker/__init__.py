"""The queue's server: where it is, the embedded one, and Celery on it."""
