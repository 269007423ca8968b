"""Texts made alike: without case, accents, umlauts and separators.

``/`` and line ends stay, for nothing is ever compared across them; every other sign that
is no letter and no digit becomes one space.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_ASCII: Final = bytes(
    code
    if (sign := chr(code)).isdigit() or sign.islower() or sign in "/\n"
    else ord(sign.lower())
    if sign.isupper()
    else 32
    for code in range(128)
) + bytes(128)

_UMLAUTS: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"})
_LETTERS: Final = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "\u0131": "i"}
    # Katakana as Hiragana; the Arabic tatweel only stretches a word.
    | {chr(code): chr(code - 0x60) for code in range(0x30A1, 0x30F7)}
    | {"\u0640": ""}
)

_DENSE: Final = (
    (0x0590, 0x08FF, 1.5),  # Hebrew and Arabic, whose vowels are seldom written
    (0x0900, 0x10FF, 2),  # India, Thailand and beyond: their vowels are dropped
    (0x3040, 0x30FF, 2),  # kana
    (0x3400, 0x9FFF, 3),  # ideographs
    (0xAC00, 0xD7A3, 3),  # Hangul
    (0xF900, 0xFAFF, 3),  # ideographs
    (0x20000, 0x3FFFF, 3),  # ideographs
)
"""First and last of letters that say more than one of an alphabet, and as how many."""


def fold(text: str, *, umlauts: bool) -> str:
    """Return `text` made alike.

    Parameters
    ----------
    umlauts
        ``ä`` becomes ``ae``; else ``a``.
    """
    if text.isascii():
        return text.encode("ascii").translate(_ASCII).decode("ascii")
    # Only what is not ASCII is looked at letter by letter, and the same letters once.
    known: dict[str, str] = {}

    def folded(found: re.Match[str]) -> str:
        run = found[0]
        if run not in known:
            known[run] = _fold_run(run, umlauts=umlauts)
        return known[run]

    text = _OTHERS.sub(folded, unicodedata.normalize("NFC", text).casefold())
    for sign in _SEPARATORS:
        text = text.replace(sign, " ")
    return _OTHER_SEPARATORS.sub(" ", text)


def _fold_run(run: str, *, umlauts: bool) -> str:
    """Return letters that are not ASCII, in lower case, made alike."""
    if umlauts:
        run = run.translate(_UMLAUTS)
    run = unicodedata.normalize("NFKD", run)
    run = "".join(sign for sign in run if unicodedata.category(sign) not in _DROPPED)
    return unicodedata.normalize("NFC", run.translate(_LETTERS).casefold())


_OTHERS = re.compile(r"[^\x00-\x7f]+")
_SEPARATORS: Final = "._-,+=()"
"""Those that paths have by the thousand; the others are looked for after them."""
_OTHER_SEPARATORS = re.compile(r"[^\w/\n ]")

_DROPPED = frozenset(("Mn", "Cf"))
"""Accents, and signs that are not seen."""


def folds(text: str) -> list[str]:
    """Return `text` made alike in both ways of writing umlauts."""
    if text.isascii():
        return [fold(text, umlauts=False)]
    return list(dict.fromkeys((fold(text, umlauts=False), fold(text, umlauts=True))))


def words_of(text: str) -> list[str]:
    """Return the words of a folded text."""
    return text.replace("/", " ").split()


def weight(text: str) -> float:
    """Return how much `text` says, in letters of an alphabet."""
    if text.isascii():
        return len(text)
    return sum(
        next((worth for first, last, worth in _DENSE if first <= ord(sign) <= last), 1)
        for sign in text
    )
