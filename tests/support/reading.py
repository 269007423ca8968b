"""How often a file is opened: by an audit hook, whatever way it is opened by.

An audit hook stays for the life of a process (PEP 578), so there is one, and it counts
only while somebody asks.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_counters: list[Counter[str]] = []


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _counters:
        name = Path(str(arguments[0])).name
        for counter in _counters:
            counter[name] += 1


sys.addaudithook(_audit)


@contextmanager
def counted_opens() -> Iterator[Counter[str]]:
    """Yield how often a file of each name is opened, by any thread, within the block."""
    counter: Counter[str] = Counter()
    _counters.append(counter)
    try:
        yield counter
    finally:
        # By identity: counters that are equal are not the same.
        _counters[:] = [other for other in _counters if other is not counter]
