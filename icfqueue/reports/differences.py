"""What a visit has otherwise than the usual pattern of its project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from icfqueue.reports.pattern import (
    Expected,
    Pattern,
    Scan,
    by_protocol,
    matched,
    moved,
    order_of,
)


class Kind(StrEnum):
    """How a visit differs; the words are an interface."""

    MISSING = "missing"
    """A usual series is not there."""
    SHORT = "short"
    """It has fewer images than usual; where their number varies, less than half."""
    DOUBLED = "doubled"
    """There are more series of a protocol than usual."""
    UNEXPECTED = "unexpected"
    """A protocol that at most a fifth of the visits have."""
    ORDER = "order"
    """A series was made before or after others, unlike in most visits."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which a visit differs.

    Attributes
    ----------
    numbers
        SeriesNumber of the series that it is about; none of a missing one.
    words
        What was found, and what is usual.
    """

    kind: Kind
    protocol: str
    numbers: tuple[int, ...]
    words: str


def differences_of(scans: Sequence[Scan], pattern: Pattern) -> list[Difference]:
    """Return how a visit differs from `pattern`, in the order of that."""
    had = by_protocol(scans)
    found: list[Difference] = []
    for protocol, expected in pattern.expected.items():
        found += _of_usual(protocol, had.pop(protocol, []), expected)
    for protocol, some in had.items():
        if protocol not in pattern.sometimes:
            words = f"{_series(len(some))}, {_images(some)} images"
            found.append(_difference(Kind.UNEXPECTED, protocol, some, words))
    return found + _order(scans, pattern)


def _of_usual(protocol: str, had: Sequence[Scan], expected: Expected) -> list[Difference]:
    found = []
    if not had:
        words = "missing" if expected.times == 1 else f"all {expected.times} missing"
        return [Difference(Kind.MISSING, protocol, (), words)]
    if len(had) < expected.times:
        words = f"{expected.times - len(had)} of {expected.times} missing"
        found.append(Difference(Kind.MISSING, protocol, (), words))
    if len(had) > expected.times:
        words = f"{_series(len(had))} instead of {expected.times}, {_images(had)} images"
        found.append(_difference(Kind.DOUBLED, protocol, had, words))
    for scan, turn in matched(had, expected):
        if scan.images < expected.least[turn]:
            usual = expected.images[turn]
            than = usual if usual is not None else f"at least {expected.least[turn]}"
            words = f"{scan.images} images instead of {than}"
            found.append(_difference(Kind.SHORT, protocol, [scan], words))
    return found


def _order(scans: Sequence[Scan], pattern: Pattern) -> list[Difference]:
    if not pattern.order:
        return []
    scan_of = {slot: scan for scan, slot in order_of(scans, pattern.expected)}
    sequence = list(scan_of)
    found = []
    for slot in moved(sequence, pattern.order):
        place = sequence.index(slot)
        where = f"after {sequence[place - 1].protocol}" if place else "first of all"
        found.append(
            _difference(Kind.ORDER, slot.protocol, [scan_of[slot]], f"made {where}")
        )
    return found


def _difference(kind: Kind, protocol: str, scans: Sequence[Scan], words: str) -> Difference:
    numbers = tuple(scan.number for scan in scans if scan.number is not None)
    return Difference(kind, protocol, numbers, words)


def _series(count: int) -> str:
    return f"{count} series"


def _images(scans: Sequence[Scan]) -> str:
    return " + ".join(str(scan.images) for scan in scans)
