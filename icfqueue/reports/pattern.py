"""A project's usual pattern: which protocols a visit has, how often, with how many images.

It is found from the visits themselves, so that no single one of them decides: what more
than half of the visits have is usual. Or one visit is taken as the pattern.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, groupby, permutations
from statistics import median
from typing import NamedTuple

from icfqueue.catalog.series_file import SeriesRow
from icfqueue.core.errors import UsageError
from icfqueue.store.near_misses import near_names

RARE = 1 / 5
"""Share of the visits up to which what is not usual is unexpected; above, it is had
sometimes. What a single visit has is unexpected in a project of any size."""

MOST_CHOICES = 1_000
"""Ways of telling the series of one protocol apart among which the best is looked for."""

NAMELESS = "(no description)"


class Scan(NamedTuple):
    """One series of a visit: its protocol, SeriesNumber and number of images."""

    protocol: str
    number: int | None
    images: int


class Slot(NamedTuple):
    """A place in the order of a visit: a protocol, and for the how manieth time."""

    protocol: str
    turn: int


@dataclass(frozen=True, slots=True)
class Expected:
    """What a visit usually has of one protocol.

    Attributes
    ----------
    images
        For each of its series how many images it usually has; None if that varies.
    least
        For each the number of images below which it is short.
    visits
        How many visits have it at all.
    """

    images: tuple[int | None, ...]
    least: tuple[int, ...]
    visits: int

    @property
    def times(self) -> int:
        """How many series of it a visit has."""
        return len(self.least)


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a visit usually has.

    Attributes
    ----------
    expected
        By protocol, in the usual order.
    order
        In which the series are usually made; empty if there is no usual order.
    sometimes
        Protocols that are neither usual nor rare, with the number of their visits.
    visits
        How many visits it was found from.
    like
        The one visit that was taken for it, if one was.
    """

    expected: Mapping[str, Expected]
    order: Sequence[Slot]
    sometimes: Mapping[str, int] = field(default_factory=dict)
    visits: int = 1
    like: str | None = None


def scans_of(rows: Iterable[SeriesRow]) -> dict[str, list[Scan]]:
    """Return the series of each visit, by number.

    Parameters
    ----------
    rows
        Of one project, by visit and number. A protocol is called by its description;
        the modality is added where the project has several.
    """
    rows = list(rows)
    several = len({row.modality for row in rows}) > 1
    found: dict[str, list[Scan]] = {}
    for visit, of_visit in groupby(rows, key=lambda row: row.visit):
        found[visit] = [
            Scan(_name(row, several=several), row.number, row.images) for row in of_visit
        ]
    return found


def _name(row: SeriesRow, *, several: bool) -> str:
    name = row.description or row.protocol or NAMELESS
    return f"{name} [{row.modality or '?'}]" if several else name


def find_pattern(visits: Mapping[str, Sequence[Scan]]) -> Pattern:
    """Return what more than half of `visits` have."""
    images: dict[str, list[tuple[int, ...]]] = defaultdict(list)
    for scans in visits.values():
        for protocol, some in by_protocol(scans).items():
            images[protocol].append(tuple(scan.images for scan in some))
    count = len(visits)
    usual = {name: _usual(had) for name, had in images.items() if len(had) > count / 2}
    sometimes = {
        name: len(had)
        for name, had in images.items()
        if name not in usual and len(had) > max(1, RARE * count)
    }
    order, ranked = _usual_order(visits, usual)
    places = {slot.protocol: place for place, slot in reversed(list(enumerate(ranked)))}
    names = sorted(usual, key=lambda name: places.get(name, len(places)))
    return Pattern({name: usual[name] for name in names}, order, sometimes, count)


def pattern_like(visits: Mapping[str, Sequence[Scan]], visit: str) -> Pattern:
    """Return the pattern that `visit` is itself.

    Raises
    ------
    UsageError
        No series of it are known.
    """
    if visit not in visits:
        near = near_names(visit, sorted(visits))
        guess = f"did you mean {' or '.join(near)}? " if near else ""
        raise UsageError(
            f"nothing is known of the series of {visit}",
            hint=f"{guess}--like names a visit of the project that has series",
        )
    alone = find_pattern({visit: visits[visit]})
    return Pattern(alone.expected, alone.order, {}, len(visits), visit)


def _usual(had: Sequence[tuple[int, ...]]) -> Expected:
    """Return what is usual of one protocol.

    Parameters
    ----------
    had
        Of each visit that has it, the images of its series in order.
    """
    times = _most_common(len(counts) for counts in had)
    regular = [counts for counts in had if len(counts) == times]
    images: list[int | None] = []
    least: list[int] = []
    for of_turn in zip(*regular, strict=True):
        usual = _most_common(of_turn)
        if of_turn.count(usual) > len(of_turn) / 2:
            images.append(usual)
            least.append(usual)
        else:
            # As of a task that ends when it is solved.
            images.append(None)
            least.append(math.ceil(median(of_turn) / 2))
    return Expected(tuple(images), tuple(least), len(had))


def _most_common(values: Iterable[int]) -> int:
    """Return the most common of some numbers; of several the largest."""
    counted = Counter(values)
    return max(counted, key=lambda value: (counted[value], value))


def _usual_order(
    visits: Mapping[str, Sequence[Scan]], usual: Mapping[str, Expected]
) -> tuple[Sequence[Slot], Sequence[Slot]]:
    """Return the usual order, empty if there is none, and an order to show all in."""
    sequences = [[slot for _, slot in order_of(scans, usual)] for scans in visits.values()]
    places: dict[Slot, list[float]] = defaultdict(list)
    for sequence in sequences:
        for place, slot in enumerate(sequence):
            places[slot].append(place / len(sequence))
    ranked = sorted(places, key=lambda slot: (median(places[slot]), slot))
    whole = Counter(tuple(one) for one in sequences if len(one) == len(places))
    candidates: list[Sequence[Slot]] = [one for one, _ in whole.most_common(1)]
    for candidate in [*candidates, ranked]:
        kept = sum(not moved(sequence, candidate) for sequence in sequences)
        if kept > len(sequences) / 2:
            return candidate, candidate
    return (), ranked


def order_of(
    scans: Sequence[Scan], usual: Mapping[str, Expected]
) -> list[tuple[Scan, Slot]]:
    """Return a visit's usual series in the order in which they were made.

    A protocol of which the visit has more or fewer series than usual is left out: which
    of them is which cannot be told. So is what has no number.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for place, scan in enumerate(scans):
        if scan.number is not None:
            places[scan.protocol].append(place)
    slots: dict[int, Slot] = {}
    for protocol, some in places.items():
        expected = usual.get(protocol)
        if expected and len(some) == expected.times:
            pairs = matched([scans[place] for place in some], expected)
            for place, (_, turn) in zip(some, pairs, strict=True):
                slots[place] = Slot(protocol, turn)
    return [(scans[place], slots[place]) for place in sorted(slots)]


def by_protocol(scans: Iterable[Scan]) -> dict[str, list[Scan]]:
    """Return the series of each protocol, in the order in which they were made."""
    found: dict[str, list[Scan]] = defaultdict(list)
    for scan in scans:
        found[scan.protocol].append(scan)
    return found


def matched(had: Sequence[Scan], expected: Expected) -> list[tuple[Scan, int]]:
    """Return which series is which of the usual ones, in the way that fits best.

    Of a series that was made again, because the first was cut short, the whole one counts.

    Returns
    -------
    list
        Pairs of a series and its turn, in the order in which the series were made.
    """
    turns, size = range(expected.times), min(len(had), expected.times)

    def misfit(pairs: Sequence[tuple[Scan, int]]) -> tuple[int, int]:
        short = sum(scan.images < expected.least[turn] for scan, turn in pairs)
        off = (abs(s.images - (expected.images[turn] or s.images)) for s, turn in pairs)
        return short, sum(off)

    plain = list(zip(had[-size:], turns, strict=False))
    if len(had) == expected.times and misfit(plain) == (0, 0):
        return plain
    if math.comb(len(had), size) * math.perm(len(turns), size) > MOST_CHOICES:
        return plain
    choices = (
        list(zip(some, order, strict=True))
        for some in combinations(had, size)
        for order in permutations(turns, size)
    )
    # Of those that fit equally well the first, which keeps the order.
    return min(choices, key=misfit)


def moved(sequence: Sequence[Slot], order: Sequence[Slot]) -> list[Slot]:
    """Return the fewest slots without which `sequence` keeps to `order`."""
    rank = {slot: place for place, slot in enumerate(order)}
    known = [slot for slot in sequence if slot in rank]
    # The longest part that keeps to the order ends at each slot with this length, and
    # comes from this one before it; visits have dozens of series, not thousands.
    best: list[tuple[int, int]] = []
    for place, slot in enumerate(known):
        before = [(best[p][0], -p) for p in range(place) if rank[known[p]] < rank[slot]]
        length, at = max(before, default=(0, 1))
        best.append((length + 1, -at))
    if not best:
        return []
    place = max(range(len(best)), key=lambda p: (best[p][0], -p))
    kept = set()
    while place >= 0:
        kept.add(known[place])
        place = best[place][1]
    return [slot for slot in known if slot not in kept]
