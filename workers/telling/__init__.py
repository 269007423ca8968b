"""What Celery's own tools are told of tasks and workers."""
