"""The log of what workers reach, and what must never stand in it.

Written by :mod:`icfqueue.core.processes.faultpoint`: a time, a process and words in each
line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from icfqueue.core import steps


@dataclass(frozen=True)
class Event:
    """A line of the event log."""

    time: float
    pid: int
    words: tuple[str, ...]


def events(log: Path) -> list[Event]:
    """Return what the workers reached, in order of time."""
    found = []
    for line in log.read_text().splitlines():
        time_, pid, *words = line.split(" ")
        found.append(Event(float(time_), int(pid), tuple(words)))
    return sorted(found, key=lambda event: event.time)


def trespasses(log: Path) -> Iterator[str]:
    """Yield where a process changed the store for a visit that another had begun.

    Who began a visit last holds it. From then on nobody else may publish or remove
    anything of it; for the catalog the same goes for the whole study. A process that is
    put to sleep right before a rename may still come to say so, but the rename must fail;
    one that is put to sleep right after it says so late.
    """
    holder: dict[str, int] = {}
    of_pid: dict[int, str] = {}
    late: dict[int, str] = {}
    for event in events(log):
        what, name = event.words[0], " ".join(event.words[1:])
        subject = of_pid.get(event.pid, "")
        if what == "began":
            visit, step = name.split(" ")
            subject = (
                "catalog" if step == steps.UPDATE_CATALOG.name else visit.partition("/")[2]
            )
            holder[subject], of_pid[event.pid] = event.pid, subject
            late.pop(event.pid, None)
        elif what in {"before", "removing"}:
            if holder.get(subject) == event.pid:
                late.pop(event.pid, None)
            else:
                late[event.pid] = name
        elif what in {"after", "removed"} and late.get(event.pid) == name:
            yield f"{event} although {holder.get(subject)} has {subject}"


def at_work(log: Path) -> dict[str, int]:
    """Return visit to process of the steps that were begun and have not ended."""
    found: dict[str, int] = {}
    for event in events(log):
        if event.words[0] == "began":
            found[event.words[1]] = event.pid
        elif event.words[0] == "ended" and found.get(event.words[1]) == event.pid:
            del found[event.words[1]]
        elif event.words[0] == "died":
            found = {visit: pid for visit, pid in found.items() if pid != event.pid}
    return found


def overlaps(log: Path) -> Iterator[str]:
    """Yield where a visit was begun while another process was at work on it."""
    holder: dict[str, int] = {}
    for event in events(log):
        if event.words[0] == "began":
            visit = event.words[1]
            if holder.get(visit, event.pid) != event.pid:
                yield f"{event} while {holder[visit]} is at it"
            holder[visit] = event.pid
        elif event.words[0] == "ended":
            holder.pop(event.words[1], None)
        elif event.words[0] == "died":
            holder = {visit: pid for visit, pid in holder.items() if pid != event.pid}
