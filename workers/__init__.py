"""The Celery side: started as ``celery -A workers worker`` or ``icfqueue worker``.

It imports :mod:`icfqueue`, never the other way round.
"""

from workers.app import app

__all__ = ["app"]
