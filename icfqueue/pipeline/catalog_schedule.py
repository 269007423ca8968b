"""The time at which a study's catalog is written: its visits gather until then.

Any message for the step ``update_catalog`` means all visits of the study that are ready.
"""

from __future__ import annotations

from icfqueue.core import steps
from icfqueue.ledger import record
from icfqueue.ledger.ledger import Ledger
from icfqueue.pipeline.messages import Messages


def send_flush(ledger: Ledger, messages: Messages, project: str) -> bool:
    """Send a message that has the study's catalog written; False if nobody waits."""
    for visit in ledger.ready(project, steps.UPDATE_CATALOG.name):
        entry = ledger.get(visit)
        if entry and record.claimable(
            entry.record, steps.UPDATE_CATALOG.name, entry.record.generation
        ):
            messages.send(entry.record)
            return True
    return False


def nobody_else_comes(ledger: Ledger, project: str, ready: int) -> bool:
    """Return whether no active visit of `project` is before its catalog."""
    counts = ledger.counts(project)
    active = sum(counts[state] for state in record.ACTIVE)
    return active - ready - ledger.ready_count(project, "cleanup") <= 0
