"""What is none of ours is noted: bounded, plain, and never an error of its own."""

from __future__ import annotations

import json
import logging

import pytest
from support.valkey import Valkey, free_port

from icfqueue.broker import aside
from icfqueue.broker.aside import KEPT, Aside, notes
from icfqueue.broker.connection import Broker


def test_a_note_says_when_where_why_how_large_and_how_it_began(valkey: Valkey) -> None:
    with valkey.client() as client:
        Aside().put(client, "fetch", b"\x1b[2Jhello\xff" + b"x" * 500, "it is no JSON")
        count, (note,) = notes(client)
    assert count == 1
    assert (note.queue, note.why, note.size) == ("fetch", "it is no JSON", 510)
    assert note.first.startswith(r"\x1b[2Jhello\xff")
    assert note.first.isprintable()
    assert len(note.first) < 300
    assert note.when > 1.7e9


def test_the_notes_are_bounded_and_the_count_goes_on(valkey: Valkey) -> None:
    with valkey.client() as client:
        mine = Aside()
        for number in range(KEPT + 20):
            mine.put(client, "fetch", str(number).encode(), "it is no JSON")
        count, kept = notes(client)
    assert count == KEPT + 20
    assert len(kept) == KEPT
    assert kept[0].first == str(KEPT + 19)


def test_a_flood_is_logged_once_for_each_queue_and_reason(
    valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    with valkey.client() as client, caplog.at_level(logging.WARNING):
        mine = Aside()
        for number in range(30):
            why = "it is no JSON" if number % 2 else "larger than 65536 bytes"
            mine.put(client, "fetch", b"hello", why)
    assert len(caplog.records) == 2
    assert "hello" not in caplog.text


@pytest.mark.parametrize(
    "strange",
    [
        b"no JSON",
        b"\xff",
        b"[]",
        b'{"when": 1}',
        json.dumps({"when": -1, "queue": "", "why": "", "size": 0, "first": ""}).encode(),
        json.dumps({"when": 1, "queue": "x" * 2000, "why": "", "size": 0, "first": ""}),
    ],
)
def test_what_others_write_into_the_list_is_passed_over(
    strange: bytes, valkey: Valkey
) -> None:
    with valkey.client() as client:
        client.lpush("icfqueue:aside", strange)
        client.set("icfqueue:aside:count", "many")
        assert notes(client) == (0, [])


def test_a_forged_note_reaches_no_terminal_raw(valkey: Valkey) -> None:
    forged = {"when": 1.0, "queue": "\x1b[2J", "why": "\x07", "size": 0, "first": "\u202e"}
    with valkey.client() as client:
        client.lpush("icfqueue:aside", json.dumps(forged))
        _, (note,) = notes(client)
    assert (note.queue, note.why, note.first) == ("?[2J", "?", "?")


def test_a_key_of_that_name_that_is_no_list_goes(valkey: Valkey) -> None:
    with valkey.client() as client:
        client.set("icfqueue:aside", "x")
        assert notes(client) == (0, [])
        Aside().put(client, "fetch", b"hello", "it is no JSON")
        Aside().put(client, "fetch", b"hello", "it is no JSON")
        assert len(notes(client)[1]) == 1


def test_a_broker_that_is_away_is_no_error() -> None:
    with Broker(f"redis://127.0.0.1:{free_port()}").connect() as client:
        Aside().put(client, "fetch", b"hello", "it is no JSON")


def test_every_byte_becomes_plain() -> None:
    for start in range(0, 256, 32):
        said = aside.plain(bytes(range(start, start + 32)))
        assert said.isascii()
        assert said.isprintable()
