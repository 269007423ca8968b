"""Which indexes a record stands in, and how they change with it: pure functions.

The keys are listed in :mod:`icfqueue.ledger.keys`.
Times are the server's own, in milliseconds since 1970.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from icfqueue.core.priority import LEVELS, level_of
from icfqueue.core.steps import INDEX_TAR, NAMES, QUEUES, UPDATE_CATALOG, position
from icfqueue.core.visit import Visit
from icfqueue.ledger.keys import key
from icfqueue.ledger.record import Record, State
from icfqueue.ledger.stored import tallies


@dataclass(frozen=True, slots=True)
class In:
    """A milliseconds offset that the server adds to its own time."""

    ms: int


Command = list[Any]
"""A Redis command; words are strings, or :class:`In`, which becomes ``{"ms": n}``."""


def totals(record: Record | None) -> dict[str, int]:
    """Return what the record adds to its project's sums."""
    size = (record.tar_bytes or 0) if record else 0
    read = record is not None and record.position > _INDEXING
    return {
        "tar_bytes": size,
        "read_bytes": size if read else 0,
        "read_dicoms": (record.dicoms or 0) if record and read else 0,
    }


_INDEXING = position(INDEX_TAR.name)


def place_of(record: Record) -> tuple[str, int] | None:
    """Return the queue and the level of the visit's message; None if there is none."""
    if record.state != State.QUEUED or record.step == UPDATE_CATALOG.name:
        return None
    level = level_of(record.priority, begun=record.begun)
    return record.ticket.queue, level


def line_of(place: tuple[str, int], project: str) -> str:
    """Return the key of the line in which visits of `project` stand at `place`."""
    return key("line", place[0], str(place[1]), project)


def places(record: Record) -> tuple[set[tuple[str, str]], dict[tuple[str, str], str]]:
    """Return where the record stands: plain sets, and sorted sets by kind of score."""
    project, name, member = record.visit.project, record.visit.id, str(record.visit)
    state = record.state
    sets = {(key("projects"), project), (key("in", project, state), name)}
    scored: dict[tuple[str, str], str] = {}
    if state == State.QUEUED:
        sets.add((key("ready", project, record.step), name))
        if place := place_of(record):
            sent = f"sent {record.generation}"
            scored[key("sent", place[0]), member] = sent
            scored[line_of(place, project), name] = sent
    elif state == State.RUNNING:
        scored[key("leases"), member] = f"lease {record.token}"
    elif state == State.WAITING:
        scored[key("due"), member] = f"due {int((record.due or 0.0) * 1000)}"
    return sets, scored


def changes(
    old: Record | None,
    new: Record,
    *,
    lease: float,
    flush_after: float,
    now: float,
) -> list[Command]:
    """Return the commands that bring every index from `old` to `new`.

    Parameters
    ----------
    lease, flush_after
        Seconds: length of a new lease; wait before a study's catalog is written.
    now
        The time of the clock that a record's `due` was made with: what is left until
        then is added to the server's own time.
    """
    old_sets, old_scored = places(old) if old else (set(), {})
    new_sets, new_scored = places(new)
    stay = {key("projects")}
    commands: list[Command] = [
        ["SREM", where, who] for where, who in old_sets - new_sets if where not in stay
    ]
    commands += [["ZREM", where, who] for where, who in old_scored.keys() - new_scored]
    commands += [["SADD", where, who] for where, who in new_sets - old_sets]
    for where, meaning in new_scored.items():
        if old_scored.get(where) == meaning:
            continue
        kind, _, value = meaning.partition(" ")
        if kind == "due":
            score = In(int(value) - int(now * 1000))
        else:
            score = In(int(lease * 1000) if kind == "lease" else 0)
        commands.append(["ZADD", where[0], score, where[1]])
    project = new.visit.project
    if new.state == State.QUEUED and new.step == UPDATE_CATALOG.name:
        soon = In(int(flush_after * 1000))
        commands.append(["ZADD", key("flush"), "NX", soon, project])
    if place := place_of(new):
        # Who is new is served next; whoever has a turn already keeps it.
        turn = key("turn", place[0], str(place[1]))
        commands.append(["ZADD", turn, "NX", "0", project])
    if old and old.state == State.RUNNING and new.state != State.RUNNING:
        commands.append(["HDEL", key("progress", project), new.visit.id])
    before, after = totals(old), totals(new)
    for field, amount in after.items():
        if more := amount - before[field]:
            commands.append(["HINCRBY", key("totals", project), field, str(more)])
    for field, amount in tallies.added(old, new).items():
        commands.append(["HINCRBY", key("tally", project), field, str(amount)])
    return commands


def anew(record: Record, *, lease: float, flush_after: float, now: float) -> list[Command]:
    """Return the commands that bring a visit into every index in which it must stand.

    And out of all others, wherever it stood. Times that are known already stay, and the
    project's sums are left alone. Parameters are as for :func:`changes`.
    """
    sets, scored = places(record)
    stay = {*sets, *scored}
    running = record.state == State.RUNNING
    commands = [
        command
        for command in gone(record.visit)
        if (command[1], command[2]) not in stay and not (running and command[0] == "HDEL")
    ]
    for command in changes(None, record, lease=lease, flush_after=flush_after, now=now):
        if command[0] == "ZADD" and command[2] != "NX":
            commands.append([*command[:2], "NX", *command[2:]])
        elif command[0] != "HINCRBY":
            commands.append(command)
    return commands


def gone(visit: Visit) -> list[Command]:
    """Return the commands that take a visit out of every index, wherever it stands.

    What its record added to the sums of its project is not known here.
    """
    project, member = visit.project, str(visit)
    sets = [key("in", project, state) for state in State]
    sets += [key("ready", project, name) for name in NAMES]
    scored = [key("leases"), key("due"), *(key("sent", queue) for queue in QUEUES)]
    lines = [line_of((queue, level), project) for queue in QUEUES for level in LEVELS]
    return [
        *(["SREM", where, visit.id] for where in sets),
        *(["ZREM", where, member] for where in scored),
        *(["ZREM", where, visit.id] for where in lines),
        ["HDEL", key("progress", project), visit.id],
    ]
