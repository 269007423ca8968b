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
_SEPARATOR = re.compile(r"[^\w/\n]|_")

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
    text = unicodedata.normalize("NFC", text).casefold()
    if umlauts:
        text = text.translate(_UMLAUTS)
    text = unicodedata.normalize("NFKD", text)
    text = "".join(sign for sign in text if unicodedata.category(sign) not in _DROPPED)
    text = unicodedata.normalize("NFC", text.translate(_LETTERS).casefold())
    return _SEPARATOR.sub(" ", text)


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
