"""What a step takes: seconds for each visit, and for each byte; measured."""

from __future__ import annotations

from collections.abc import Sequence

from icfqueue.core.steps import FETCH, INDEX_TAR

BYTEWISE = (FETCH.name, INDEX_TAR.name)
"""Steps that deal with the bytes of a tarball."""

MEMORY = 0.99
"""Weight of an observation against the one after it: about 100 are remembered."""

DOUBT = 0.1
"""Share of their mean by which sizes must differ before they tell what a byte takes."""

PRIOR = 0.01
"""Weight of what is assumed before anything was measured, against one observation."""

MIB = 1 << 20

_USUAL = 100 * MIB
"""Size at which the assumptions are noted."""


class Pace:
    """What a step takes: seconds as a line over bytes, by least squares.

    Parameters
    ----------
    per_second
        Bytes a second that are assumed at first; None if they do not matter.
    each
        Seconds for each visit that are assumed at first.
    """

    def __init__(self, per_second: float | None, each: float) -> None:
        self.measured = 0.0
        """Observations that count."""
        self._n = self._x = self._y = self._xx = self._xy = 0.0
        self.bytewise = per_second is not None
        self._assumed = each + _USUAL / per_second if per_second else each
        self._add(0, each, PRIOR)

    def add(self, size: float, seconds: float) -> None:
        """Note that `size` bytes took `seconds`; what came long ago counts less."""
        for name in ("_n", "_x", "_y", "_xx", "_xy", "measured"):
            setattr(self, name, getattr(self, name) * MEMORY)
        self._add(size, seconds, 1.0)
        self.measured += 1.0

    def _add(self, size: float, seconds: float, weight: float) -> None:
        x = size / _USUAL
        self._n += weight
        self._x += weight * x
        self._y += weight * seconds
        self._xx += weight * x * x
        self._xy += weight * x * seconds

    def line(self, also: Sequence[tuple[float, float]] = ()) -> tuple[float, float]:
        """Return the seconds for each visit, and for each byte.

        Parameters
        ----------
        also
            Bytes and seconds of what is not over yet, and counts for now.
        """
        n, x, y, xx, xy = self._n, self._x, self._y, self._xx, self._xy
        # What was measured once tells more than what is assumed.
        assumed = () if self.measured or also else ((_USUAL, self._assumed),)
        for size, seconds in (*also, *assumed):
            at = size / _USUAL
            n, x, y, xx, xy = n + 1, x + at, y + seconds, xx + at * at, xy + at * seconds
        # Where sizes hardly differ, the slope is that of the kind of step, not of chance.
        mean, expected = x / n, (y / x if self.bytewise and x else 0.0)
        doubt = n * (DOUBT * mean) ** 2
        slope = (xy - mean * y + doubt * expected) / (xx - mean * x + doubt or 1.0)
        each = y / n - slope * mean
        if slope < 0:
            slope, each = 0.0, y / n
        elif each < 0:
            slope, each = y / x, 0.0
        return each, slope / _USUAL
