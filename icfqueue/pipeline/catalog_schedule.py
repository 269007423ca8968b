"""When a study's catalog is written, and for how many visits at once.

Any message for the step ``update_catalog`` means all visits of the study that are ready.
When the writing fails as a whole, nobody knows which visit is at fault, if any: the next
batch is half as large, and so on, until one visit is alone. Only that one is charged.
"""

from __future__ import annotations

from icfqueue.core import steps
from icfqueue.ledger import record
from icfqueue.ledger.ledger import Entry, Ledger
from icfqueue.ledger.record import Record
from icfqueue.ledger.stored.spoilt import amounts
from icfqueue.pipeline.messages import Messages

FLUSH_AGAIN = 30.0
"""Seconds after which an unanswered message to write a catalog is sent again."""

LARGEST_BATCH = 200
"""Most visits whose pages are written in one go."""

MEMORY = 2 * 3600.0
"""Seconds for which failures of whole batches count as being in a row."""


def is_ready(found: Record) -> bool:
    """Return whether a visit waits for the catalog."""
    return record.claimable(found, steps.UPDATE_CATALOG.name, found.generation)


def send_flush(ledger: Ledger, messages: Messages, project: str) -> bool:
    """Send a message that has the study's catalog written; False if nobody waits."""
    for entry in ledger.get_many(ledger.ready(project, steps.UPDATE_CATALOG.name)):
        if isinstance(entry, Entry) and is_ready(entry.record):
            messages.send(entry.record)
            return True
    return False


def nobody_else_comes(ledger: Ledger, project: str) -> bool:
    """Return whether visits are ready for the catalog, and no other is on its way there."""
    counts, ready = ledger.on_the_way(project)
    waiting = ready[steps.UPDATE_CATALOG.name]
    active = sum(counts[state] for state in record.ACTIVE)
    return waiting > 0 and active <= waiting + ready[steps.CLEANUP.name]


def batch_size(ledger: Ledger, project: str) -> int:
    """Return how many visits may be in the next batch."""
    return _noted(ledger, project)[0]


def note_failure(ledger: Ledger, project: str, visits: int) -> int:
    """Note that a whole batch of `visits` failed; return how many did so in a row."""
    size, failures = _noted(ledger, project)
    size = max(1, min(size, visits) // 2)
    ledger.notes.put(_name(project), f"{size} {failures + 1}", MEMORY)
    return failures + 1


def note_success(ledger: Ledger, project: str) -> None:
    """Let batches be large again."""
    ledger.notes.drop(_name(project))


def _noted(ledger: Ledger, project: str) -> tuple[int, int]:
    """Return the size of the next batch, and how many failed in a row."""
    size, failures = ledger.notes.read(_name(project), amounts) or (LARGEST_BATCH, 0)
    return max(1, min(LARGEST_BATCH, size)), failures


def _name(project: str) -> str:
    return f"batch:{project}"
