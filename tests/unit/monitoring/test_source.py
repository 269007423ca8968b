"""A broker that is asked again and again, there or not."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs
from support.valkey import Valkey
from support.waiting import Clock

from icfqueue.broker.embedded import EmbeddedServer
from icfqueue.core.errors import UsageError
from icfqueue.core.settings import Secret, Settings
from icfqueue.monitoring import source
from icfqueue.monitoring.reading import Reading, read
from icfqueue.monitoring.source import Source
from icfqueue.store.directory import Store


def test_a_broker_that_goes_and_comes_is_asked_again_and_each_is_said_once(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with Valkey(password="s3cret") as server:
        chosen = structs.replace(settings, broker_url=Secret(server.url))
        with Source(chosen) as source:
            assert source.ask() is not None
            server.kill()
            assert source.ask() is None
            assert source.ask() is None
            server.start()
            assert source.ask() is not None
    said = [one.getMessage().partition(":")[0] for one in caplog.records]
    assert said == ["metrics.none", "metrics.again"]
    assert "s3cret" not in caplog.text


def test_a_newer_layout_and_a_strangers_key_are_no_crash(
    settings: Settings, valkey: Valkey
) -> None:
    chosen = structs.replace(settings, broker_url=Secret(valkey.url))
    with Source(chosen) as source, valkey.client() as client:
        client.set("icfqueue:layout", "99")
        assert source.ask() is None
        client.set("icfqueue:layout", "1")
        client.set("icfqueue:tally:p", "x")
        client.sadd("icfqueue:projects", "p")
        # It only looks, and does not repair.
        assert source.ask() is None
        client.delete("icfqueue:tally:p")
        assert source.ask() is not None


def test_a_reading_that_took_long_is_kept_for_a_while(
    settings: Settings, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    took = iter((0.1, 5.0, 0.2))

    def slow(*asked: Any) -> Reading:
        return replace(read(*asked), seconds=next(took))

    monkeypatch.setattr(source, "read", slow)
    clock = Clock()
    monkeypatch.setattr(source, "time", clock)
    chosen = structs.replace(settings, broker_url=Secret(valkey.url))
    seen = []
    with Source(chosen) as asked:
        for seconds in (0.0, 1.0, 1.0, 43.0, 2.0):
            clock.now += seconds
            found = asked.ask()
            seen.append(found and found.seconds)
    assert seen == [0.1, 5.0, 5.0, 5.0, 0.2]


def test_the_embedded_server_is_kept_but_not_made(settings: Settings, store: Store) -> None:
    with Source(settings) as source:
        assert source.ask() is None
        assert not store.holds(EmbeddedServer(store.root).folder)
        with EmbeddedServer(store.root) as server:
            assert source.ask() is not None
        # The command that started it is gone.
        assert source.ask() is not None
        assert server.socket.exists()
    assert not server.socket.exists()


def test_a_store_directory_that_is_not_there_is_said_at_once(settings: Settings) -> None:
    with pytest.raises(UsageError):
        Source(structs.replace(settings, store_dir=settings.store_dir / "away"))
