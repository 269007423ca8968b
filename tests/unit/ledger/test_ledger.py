"""The ledger as others may use it, and that the one in Redis is one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from icfqueue.core.options import Options
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.ledger import Entry, Ledger
from icfqueue.ledger.locks import Locks, RedisLocks
from icfqueue.ledger.notes import Notes, RedisNotes
from icfqueue.ledger.redis_ledger import RedisLedger

NEW = record.new(Visit("p", "v"), Options("https://x"), 0, 1.0)


def methods(cls: type) -> dict[str, list[str]]:
    """Return the public methods of `cls`, each with its parameters and their defaults."""
    return {
        name: [str(p.replace(annotation=p.empty)) for p in _parameters(function)]
        for name, function in vars(cls).items()
        if callable(function) and not name.startswith("_")
    }


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


@pytest.mark.parametrize(
    ("interface", "ours"), [(Ledger, RedisLedger), (Locks, RedisLocks), (Notes, RedisNotes)]
)
def test_what_is_in_redis_has_the_interface_and_no_more(
    interface: type, ours: type
) -> None:
    """A method that only one of them has would be a way round the interface."""
    assert methods(ours) == methods(interface)


def test_what_was_written_is_one_version_further() -> None:
    entry = Entry(NEW, "41")
    changed = record.cancelled(NEW, 2.0)
    assert entry.after(changed) == Entry(changed, "42")
    assert entry == Entry(NEW, "41")
