"""Keys of the ledger in Redis.

Keys, below ``icfqueue:``::

    visit:<project>/<visit>   hash: v (version), t (token of the lease), r (record, JSON),
                              w (word of the last write), m (more of the record, JSON,
                              with the layout's number and the version it belongs to;
                              see :mod:`icfqueue.ledger.stored.record_json`)
    layout                    number of the layout of these keys; 1 if there is none
    store                     id of the store directory whose visits these are; each claim
                              compares it (icfqueue/pipeline/health/store_watch.py)
    projects                  set of project ids
    in:<project>:<state>      set of visit ids, for each of the six states
    ready:<project>:<step>    set of visit ids that are queued at that step
    totals:<project>          hash: tar_bytes, read_bytes, read_dicoms
    tally:<project>           hash: what happened to its visits, counted, for monitoring
                              (icfqueue/ledger/stored/tallies.py)
    progress:<project>        hash: visit id to "<bytes> <dicoms>" of the running step
    leases                    sorted set of running visits by the end of their lease
    due                       sorted set of waiting visits by the time they go on
    sent:<queue>              sorted set of queued visits by when their message was sent
    line:<queue>:<level>:<project>   the same of one project and urgency, by visit id
    turn:<queue>:<level>      sorted set of projects by when one of their visits was last
                              served there, in microseconds
    flush                     sorted set of projects by when their catalog is written
    room                      hash: visit to "<end> <bytes> <token>", the room on the disk
                              that is promised to its download (ledger/room.py)
    workers                   sorted set of workers by when they last said they live
    signs                     hash: worker to "<when, in ms> <JSON>", what it is and does
                              (ledger/roster.py)
    events                    stream: what happened to visits, a JSON text each in its
                              field "e" (ledger/telling/events.py)
    lock:<name>               token of who holds it
    hold:<project>            why no visit of it asks the store, until 'retry'
    rest:<name>               why nobody asks the disk or a store for a while
    faults:<host>, refused:<project>, unseen:<visit>:<step>   counters, each with an end
    batch:<project>           how many visits go into the next catalog after a failure
    probe                     written and gone at once, to see whether the broker takes it
    aside, aside:count        messages that are none of ours (icfqueue/broker/aside.py)
    spoilt                    note: a key was of another type and is gone; what stood in it
                              is to be made anew (icfqueue/ledger/stored/mending.py)

Times are the server's own, in milliseconds since 1970; of `workers` in seconds, and of
`turn` in microseconds.
"""

from __future__ import annotations

from icfqueue.core.visit import Visit

PREFIX = "icfqueue:"

LAYOUT = 1
"""Number of this layout of the keys. Raised, and written to the broker by whoever makes
the new one, when older workers must not go on; each claim compares it."""


KINDS = {
    "layout": "string",
    "store": "string",
    "projects": "set",
    "in": "set",
    "ready": "set",
    "totals": "hash",
    "tally": "hash",
    "progress": "hash",
    "leases": "zset",
    "due": "zset",
    "sent": "zset",
    "line": "zset",
    "turn": "zset",
    "flush": "zset",
    "room": "hash",
    "workers": "zset",
    "signs": "hash",
    "events": "stream",
    "lock": "string",
    "hold": "string",
    "rest": "string",
    "faults": "string",
    "refused": "string",
    "unseen": "string",
    "batch": "string",
    "spoilt": "string",
}
"""Type of each key, as the server's ``TYPE`` has it, by the first part of its name. Not
that of a record: one of another type is unreadable, and mended by ``reconcile``."""

FROM_RECORDS = frozenset(
    {"projects", "in", "ready", "totals", "leases", "due", "sent", "line", "turn", "flush"}
)
"""Those that follow from the records, and are made anew from them."""


def key(*parts: str) -> str:
    """Return the key made of `parts`."""
    return PREFIX + ":".join(parts)


SPOILT = key("spoilt")
"""Stands from the moment in which an index is removed until all are made anew."""


def visit_key(visit: Visit) -> str:
    """Return the key of the visit's record."""
    return key("visit", str(visit))
