"""What is looked for: of each value the forms in which it may be written.

A form that says little (a short word, a short number) counts only where it stands alone;
one that says nothing (three letters, four digits, a common word, the visit's own id) does
not count at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Final, NamedTuple

from icfqueue.core.visit import Visit
from icfqueue.tarball.identifiers import values
from icfqueue.tarball.identifiers.common_words import COMMON
from icfqueue.tarball.identifiers.folding import fold, folds, weight, words_of

LEAST_WORD: Final = 4
"""Letters of the shortest part of a name that counts."""

LEAST_WHOLE: Final = 5
"""Letters of the shortest whole name, written in one, that counts."""

LEAST_DIGITS: Final = 5
"""Digits of the shortest number that counts, without leading zeros: images have numbers."""

WITHIN_WORD: Final = 6
"""Letters from which a part of a name counts also within a longer word."""

ACROSS: Final = 8
"""Letters from which a value counts wherever its separators are."""

_RUN = re.compile(r"[0-9]+|[^\W0-9_]+")
_MONTHS: Final = (
    ("jan",),
    ("feb",),
    ("mar", "mrz", "maerz", "marz"),
    ("apr",),
    ("may", "mai"),
    ("jun",),
    ("jul",),
    ("aug",),
    ("sep",),
    ("oct", "okt"),
    ("nov",),
    ("dec", "dez"),
)


class Needle(NamedTuple):
    """One form of a value.

    Attributes
    ----------
    text
        Folded.
    alone
        It counts only where neither a letter stands beside its letters nor a digit beside
        its digits.
    across
        It is looked for in the text without any separators.
    """

    text: str
    alone: bool = True
    across: bool = False


class Own:
    """The ids of a visit, which are published anyway: what is part of them is no find."""

    def __init__(self, visit: Visit) -> None:
        # Both orders: "study_1_visit_a" and "visit_a_study_1".
        self._spaced = fold(f"{visit.project} {visit.id} {visit.project}", umlauts=False)
        self._joined = self._spaced.replace(" ", "")

    def has(self, text: str) -> bool:
        """Tell whether the folded `text` is part of the ids."""
        joined = text.replace(" ", "")
        if joined not in self._joined:
            return False
        return standing_alone(joined, between=" ?").search(self._spaced) is not None


def needles(found: Iterable[tuple[str, str]], own: Own) -> dict[Needle, str]:
    """Return the forms to look for, each with the kind of its value.

    Parameters
    ----------
    found
        Kind and text of each value.
    """
    made: dict[Needle, str] = {}
    # By kind, so that what two values share is always said to be the same one.
    for kind, text in sorted(found, key=lambda one: (values.KINDS.index(one[0]), one[1])):
        for needle in _of(kind, text):
            plain = needle.text.replace(" ", "").replace("/", "")
            if plain not in COMMON and not own.has(needle.text):
                made.setdefault(needle, kind)
    return made


def _of(kind: str, text: str) -> Iterator[Needle]:
    if kind == values.BIRTH_DATE:
        yield from of_date(text)
    elif kind == values.NAME:
        for group in text.split("="):
            for folded in _name_folds(group):
                yield from of_name(folded)
    else:
        for folded in folds(text):
            yield from of_id(folded)


def _name_folds(group: str) -> list[str]:
    """Return a name in all ways of writing its umlauts; ``^`` comes out as a line end."""
    found = folds(group.replace("\n", " ").replace("^", "\n"))
    # A header may have "Mueller" where a path has "Muller".
    plain = found[0].replace("ae", "a").replace("oe", "o").replace("ue", "u")
    return list(dict.fromkeys((*found, plain)))


def of_name(folded: str) -> Iterator[Needle]:
    """Yield the forms of a name whose components stand in lines (PS3.5, 6.2.1.1)."""
    parts = [words_of(part) for part in folded.split("\n")]
    words = [word for part in parts for word in part]
    for word in words:
        said = weight(word)
        if said >= LEAST_WORD and not word.isdigit() and word not in COMMON:
            yield Needle(word, alone=said < WITHIN_WORD)
    for whole in _wholes(parts, words):
        said = weight("".join(whole))
        if said < LEAST_WHOLE:
            continue
        yield Needle("".join(whole))
        yield Needle(" ".join(whole))
        if said >= ACROSS:
            yield Needle("".join(whole), alone=False, across=True)


def _wholes(parts: list[list[str]], words: list[str]) -> Iterator[tuple[str, ...]]:
    """Yield the orders in which family and given names are put together."""
    parts = [part for part in parts if part]
    if not words or len(words) == 1:
        return
    yield tuple(words)
    yield from (tuple(part) for part in parts if part[1:])
    family, given = (parts[0], parts[1]) if parts[1:] else (words[:1], words[1:])
    yield (*family, *given)
    yield (*given, *family)
    yield (family[0], given[0])
    yield (given[0], family[-1])
    yield (family[-1], given[0])
    if not parts[1:]:  # "Given Family" in one component
        yield (*words[-1:], *words[:-1])
    initial = given[0][:1]
    if initial.isascii():
        for one in (*family, words[-1]) if not parts[1:] else family:
            if weight(one) >= LEAST_WORD:
                yield (initial, one)
                yield (one, initial)


def of_id(folded: str) -> Iterator[Needle]:
    """Yield the forms of an id."""
    words = words_of(folded)
    joined = "".join(words)
    if _is_number(joined):
        yield from _of_number(words, joined)
        return
    if weight(joined) < LEAST_WORD or len(set(joined)) == 1:
        return
    runs = _RUN.findall(joined)
    for pieces in (words, runs):
        yield Needle(" ".join(pieces))
    yield Needle(joined)
    if weight(joined) >= ACROSS:
        yield Needle(joined, alone=False, across=True)
    # What stands before a number is mostly the hospital's, and the same for all.
    for part in (*words, *runs):
        if _is_number(part):
            yield from _of_number([part], part)
        elif weight(part) >= LEAST_WHOLE and any(map(str.isdigit, part)):
            yield Needle(part)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _of_number(words: list[str], joined: str) -> Iterator[Needle]:
    bare = joined.lstrip("0")
    if len(bare) < LEAST_DIGITS or len(set(bare)) == 1:
        return
    yield Needle(bare)
    if words[1:]:
        yield Needle(" ".join(words))


def of_date(text: str) -> Iterator[Needle]:
    """Yield the forms of a date, ``YYYYMMDD`` or, as in old files, ``YYYY.MM.DD``."""
    digits = "".join(sign for sign in text if sign.isascii() and sign.isdigit())
    try:
        day = date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return
    y, m, d = f"{day:%Y}".zfill(4), f"{day:%m}", f"{day:%d}"
    for one in ((y, m, d), (d, m, y), (m, d, y), (y, d, m)):
        for between in ("", " ", "/"):
            yield Needle(between.join(one))
    short = y[2:]
    for one in ((short, m, d), (d, m, short), (m, d, short)):
        yield Needle("".join(one))
        # Without a zero, three numbers that count something may look so.
        if any(number[0] == "0" for number in one):
            yield Needle(" ".join(one))
    bare = d.lstrip("0"), m.lstrip("0"), y
    if bare != (d, m, y):
        yield Needle(" ".join(bare))
    for month in _MONTHS[day.month - 1]:
        for number in {d, d.lstrip("0")}:
            for pieces in ((number, month, y), (month, number, y), (y, month, number)):
                yield Needle(" ".join(pieces))
                yield Needle("".join(pieces))


_BESIDE: Final = (r"(?<![^\W0-9_])", r"(?![^\W0-9_])")
"""No letter before, none behind."""


def standing_alone(text: str, between: str = "") -> re.Pattern[str]:
    """Return what finds the folded `text` where it stands alone.

    A number may have zeros before it.

    Parameters
    ----------
    between
        A pattern of what may stand between two signs.
    """
    before = r"(?<![0-9])0*" if text[0].isdigit() else _BESIDE[0]
    after = r"(?![0-9])" if text[-1].isdigit() else _BESIDE[1]
    return re.compile(f"{before}{between.join(map(re.escape, text))}{after}")
