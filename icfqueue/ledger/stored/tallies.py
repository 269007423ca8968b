"""Counts of what happened to a project's visits, which only grow.

Kept in one hash of each project, ``icfqueue:tally:<project>``, and added to by the script
that writes the record: what is written is counted, once, and no round trip is made for it.
The counts outlast whoever shows them, as a Prometheus counter has to
(:mod:`icfqueue.monitoring`). They say what happened, so they do not follow from the
records: should the hash be lost, they begin anew at 0, which Prometheus understands.

Fields::

    seconds:<step>:<bound>, bytes:<step>:<bound>   how many were not above the bound, and
                                                   above the one before it
    seconds:<step>:sum                             microseconds
    bytes:<step>:sum                               bytes
    retries, postponed, failures:<step>:<cause>    how often
    lost:<step>                                    leases that ran out
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from icfqueue.core.steps import NAMES
from icfqueue.ledger.keys import key
from icfqueue.ledger.record import Record, State

SECONDS = tuple(
    str(float(bound))
    for bound in (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)
)
"""Bounds of the durations, from an index read again to a download of three hours."""

BYTES = ("1e+06", "1e+07", "3e+07", "1e+08", "3e+08", "1e+09", "3e+09", "1e+10", "1e+11")
"""Bounds of the tarballs' sizes, written as Prometheus writes them."""

BEYOND = "+Inf"
"""The bound above all others, as Prometheus calls it."""

MICRO = 1_000_000
"""Sums are integers, so that they are exact: durations in millionths of a second."""

UNKNOWN = "other"
"""Cause of an error that has none, as those of older releases."""


def added(old: Record | None, new: Record) -> Counter[str]:
    """Return what a change from `old` to `new` adds to the counts of the project."""
    found: Counter[str] = Counter()
    if old is None or old.generation != new.generation or old.position == len(NAMES):
        # Enqueued, cancelled or retried by a person: no attempt has ended.
        return found
    position, step = old.position, old.step
    before, after = old.steps[position], new.steps[position]
    cause = (new.error or {}).get("cause") or UNKNOWN
    if after.crashes > before.crashes:
        found[f"lost:{step}"] += 1
    if old.state == State.RUNNING and after.state == State.DONE:
        _observe(found, f"seconds:{step}", SECONDS, after.seconds, MICRO)
        _observe(found, f"bytes:{step}", BYTES, new.tar_bytes, 1)
    elif after.state == State.FAILED != before.state:
        found[f"failures:{step}:{cause}"] += 1
    elif old.state == State.RUNNING and after.state == State.WAITING:
        kind = "retries" if after.faults > before.faults else "postponed"
        found[f"{kind}:{step}:{cause}"] += 1
    return found


def _observe(
    found: Counter[str], name: str, bounds: tuple[str, ...], value: float | None, unit: int
) -> None:
    """Count a value into its bucket and to the sum; None is not known."""
    if value is None:
        return
    place = bisect_left(_floats(bounds), value)
    found[f"{name}:{(*bounds, BEYOND)[place]}"] += 1
    found[f"{name}:sum"] += round(value * unit)


def _floats(bounds: Iterable[str]) -> list[float]:
    return [float(bound) for bound in bounds]


@dataclass
class Histogram:
    """Values in buckets.

    Attributes
    ----------
    buckets
        Upper bound to how many values lie in its bucket alone.
    sum
        Of all values, in the unit of the values.
    """

    buckets: Counter[str] = field(default_factory=Counter)
    sum: float = 0.0

    def cumulative(self, bounds: tuple[str, ...]) -> list[tuple[str, float]]:
        """Return each bound with how many values are not above it, as Prometheus wants it.

        Parameters
        ----------
        bounds
            Those that are listed in any case; others come from another release.
        """
        all_bounds = sorted({*bounds, *self.buckets, BEYOND}, key=float)
        total = 0.0
        found = []
        for bound in all_bounds:
            total += self.buckets[bound]
            found.append((bound, total))
        return found


@dataclass
class Tallies:
    """The counts of a project.

    Attributes
    ----------
    seconds, bytes
        By step: how long its attempts took that succeeded, and the tarballs' sizes.
    retries, postponed, failures
        By step and cause.
    lost
        By step: leases that ran out because a worker vanished.
    """

    seconds: dict[str, Histogram] = field(default_factory=dict)
    bytes: dict[str, Histogram] = field(default_factory=dict)
    retries: dict[tuple[str, str], int] = field(default_factory=dict)
    postponed: dict[tuple[str, str], int] = field(default_factory=dict)
    failures: dict[tuple[str, str], int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> Tallies:
        """Return the counts in a hash; what cannot be one of ours is left out."""
        found = cls()
        for name, text in fields.items():
            kind, _, rest = name.partition(":")
            step, _, last = rest.partition(":")
            count = _count(text)
            if count is None or step not in NAMES:
                continue
            if kind in {"seconds", "bytes"}:
                unit = MICRO if kind == "seconds" else 1
                histograms: dict[str, Histogram] = getattr(found, kind)
                _put(histograms.setdefault(step, Histogram()), last, count, unit)
            elif kind == "lost":
                found.lost[step] = count
            elif kind in {"retries", "postponed", "failures"}:
                getattr(found, kind)[step, last] = count
        return found


def _put(histogram: Histogram, bound: str, count: int, unit: int) -> None:
    if bound == "sum":
        histogram.sum = count / unit
    elif _is_bound(bound):
        histogram.buckets[bound] = count


_MOST_DIGITS = 17
"""Of a sum, as the script has it that adds to it."""


def _count(text: str) -> int | None:
    ours = text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS
    return int(text) if ours else None


def _is_bound(text: str) -> bool:
    try:
        return len(text) <= _MOST_DIGITS and float(text) >= 0
    except ValueError:
        return False


class RedisTallies:
    """The counts of all projects of one broker, and what else is only looked at.

    Parameters
    ----------
    client
        A connection whose replies are text.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def of(self, project: str) -> Tallies:
        """Return the counts of `project`."""
        return Tallies.of(self._client.hgetall(key("tally", project)))

    def first_lease_ends(self) -> float | None:
        """Return when the lease ends that ends first, by the server's clock.

        Seconds since 1970; None if nobody holds one.
        """
        found = self._client.zrangebyscore(
            key("leases"), "-inf", "+inf", start=0, num=1, withscores=True
        )
        return found[0][1] / 1000 if found else None
