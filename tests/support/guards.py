"""Guards for tests: one that counts, and one that takes the work away."""

from __future__ import annotations

from icfqueue.core.errors import LeaseLost
from icfqueue.core.guard import Guard


class CountingGuard(Guard):
    """Remembers what it was told.

    Attributes
    ----------
    calls
        How often progress was reported.
    bytes, dicoms
        How much of it.
    asked
        Names of the files for which publication was asked for.
    """

    def __init__(self) -> None:
        self.calls = self.bytes = self.dicoms = 0
        self.asked: list[str] = []

    def advance(self, *, bytes: int = 0, dicoms: int = 0) -> None:
        self.calls += 1
        self.bytes += bytes
        self.dicoms += dicoms

    def before_publish(self, name: str) -> None:
        self.asked.append(name)


class LosingGuard(CountingGuard):
    """Allows so many publications; then the visit is another worker's."""

    def __init__(self, allowed: int = 0) -> None:
        super().__init__()
        self.allowed = allowed

    def before_publish(self, name: str) -> None:
        super().before_publish(name)
        if len(self.asked) > self.allowed:
            raise LeaseLost(f"{name} is not published")
