"""The workers' application: the shared one, with their tasks and settings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import current_app

from icfqueue.broker.celery_app import make_app
from icfqueue.broker.connection import Broker
from icfqueue.broker.embedded import EmbeddedServer
from icfqueue.core.settings import Secret, Settings
from workers.app import app, create_app
from workers.settings import worker_settings


@pytest.fixture(autouse=True)
def give_back() -> Iterator[None]:
    """The application that is made last is Celery's current one."""
    yield
    app.set_current()


def test_it_is_set_as_both_ends_agree_and_as_workers_are() -> None:
    chosen = Settings(broker_url=Secret("redis://:hunter2@host:1/0"))
    made = create_app(chosen)
    shared = make_app(Broker("redis://:hunter2@host:1/0"))
    for name in ("accept_content", "broker_transport_options", "task_serializer"):
        assert made.conf[name] == shared.conf[name]
    for name, value in worker_settings().items():
        assert made.conf[name] == value
    assert made.conf.broker_url == "redis://:hunter2@host:1/0"


def test_tasks_and_signals_come_with_it() -> None:
    assert app.conf.include == ["workers.tasks", "workers.signals"]


def test_without_a_broker_it_is_the_embedded_one_of_the_store_and_starts_none(
    settings: Settings,
) -> None:
    made = create_app(settings)
    assert made.conf.broker_url == EmbeddedServer(settings.store_dir).broker.url
    assert list(settings.store_dir.iterdir()) == []


def test_it_is_the_current_one_as_celerys_command_line_wants_it() -> None:
    made = create_app(Settings(broker_url=Secret("redis://host")))
    assert current_app._get_current_object() is made
