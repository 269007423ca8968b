"""Which columns of a table fit a line; without any library, for commands start often."""

from __future__ import annotations

from collections.abc import Sequence

ALWAYS = 100
"""Importance of what is never left out: ids and states."""

GAP = 2
"""Blanks between two columns."""


def width_of(widths: Sequence[int]) -> int:
    """Return the characters of a line with columns of `widths`."""
    return max(0, sum(width + GAP for width in widths) - GAP)


def fitting(widths: Sequence[int], importance: Sequence[int], room: int) -> list[int]:
    """Return the places of the columns that are shown.

    Parameters
    ----------
    widths
        Characters that each column takes; 0 for one that has nothing to show.
    importance
        Of each; the lowest goes first, and of two equal ones the last. What has
        :data:`ALWAYS` stays, even if the line then is too long.
    room
        Characters of a line.
    """
    chosen = [place for place, width in enumerate(widths) if width]
    while width_of([widths[place] for place in chosen]) > room:
        least = min(chosen, key=lambda place: (importance[place], -place))
        if importance[least] >= ALWAYS:
            break
        chosen.remove(least)
    return chosen
