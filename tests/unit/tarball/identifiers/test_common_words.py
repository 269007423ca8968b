"""The words that tell nothing."""

from __future__ import annotations

from icfqueue.tarball.identifiers.common_words import COMMON
from icfqueue.tarball.identifiers.folding import fold


def test_the_words_are_written_as_they_are_compared() -> None:
    assert all(fold(word, umlauts=False) == word and " " not in word for word in COMMON)


def test_what_scans_are_called_is_among_them() -> None:
    assert {"head", "brain", "test", "phantom", "rest"} <= COMMON
