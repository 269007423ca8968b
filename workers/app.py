"""The Celery application of the workers."""

from __future__ import annotations

from celery import Celery

from icfqueue.broker import connection
from icfqueue.broker.celery_app import make_app
from icfqueue.broker.embedded import EmbeddedServer
from icfqueue.core import settings
from icfqueue.core.configured.sources import keep_secrets
from workers.settings import worker_settings


def create_app(chosen: settings.Settings) -> Celery:
    """Return the application for these settings; connects to nothing."""
    address = connection.configured(chosen) or EmbeddedServer(chosen.store_dir).broker
    made = make_app(address)
    made.events_cls = "workers.telling.events:Events"
    made.conf.update(
        worker_settings(events=chosen.task_events),
        include=["workers.tasks", "workers.signals"],
    )
    made.set_current()
    return made


# Before anything is started; the children of this process are forks and know it, too.
keep_secrets()
app = create_app(settings.load())
