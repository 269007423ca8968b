"""A project that is followed: pictures go to a display, and nothing while it is dark."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
import redis
from support.in_process_queue import InProcessQueue
from support.records import troubled_project
from support.valkey import Valkey

from icfqueue.cli.live import view as module
from icfqueue.cli.live.view import View, watch
from icfqueue.cli.session import session
from icfqueue.core.visit import Visit
from icfqueue.overview.picture import Picture
from icfqueue.overview.standstill import Reason
from icfqueue.store.directory import Store

V = Visit("study_1", "v")


class Seen:
    """A display that keeps what it was to show."""

    every = 0.0

    def __init__(self) -> None:
        self.shown: list[tuple[Picture, list[Reason]]] = []

    def show(self, picture: Picture, reasons: Sequence[Reason]) -> None:
        self.shown.append((picture, list(reasons)))

    def say(self, words: str) -> None:
        raise AssertionError(words)


def test_what_the_broker_refuses_is_a_reason_and_a_broker_away_shows_nothing(
    in_process_queue: InProcessQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_process_queue.enqueue([V])
    seen = Seen()
    view = View(in_process_queue.ledger, in_process_queue.settings, "study_1", 2)
    view.show(seen, "has no memory left")
    ((picture, reasons),) = seen.shown
    assert picture.queued == 1
    assert [reason.text for reason in reasons] == ["the broker has no memory left"]

    def away(_: str) -> None:
        raise redis.ConnectionError

    monkeypatch.setattr(in_process_queue.ledger, "on_the_way", away)
    view.show(seen)
    assert len(seen.shown) == 1


def test_watching_shows_what_is_at_work_and_why_visits_failed(
    in_process_queue: InProcessQueue,
    valkey: Valkey,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    queue = in_process_queue
    queue.ledger.put_many([(None, found) for found in troubled_project()])
    queue.enqueue([V])
    queue.hold(V)

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module.time, "sleep", interrupt)
    where = {"store_dir": store.root, "broker": valkey.broker.url}
    with session(where) as opened, pytest.raises(KeyboardInterrupt):
        watch(opened, "study_1")
    said = capsys.readouterr().out
    assert re.search(r"^v +fetch", said, re.MULTILINE)
    assert "\u00d7 network" in said
