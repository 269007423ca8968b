"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Sizes and repeats.

    Attributes
    ----------
    quick
        A look in under two minutes; the figures are rough.
    full
        Everything, also what takes tens of minutes.
    repeat
        How often each side of a short case is run.
    """

    quick: bool = False
    full: bool = False
    repeat: int = 5

    def of(self, quick: int, usual: int, full: int | None = None) -> int:
        """Return the size for this scale."""
        if self.quick:
            return quick
        return full if self.full and full is not None else usual
