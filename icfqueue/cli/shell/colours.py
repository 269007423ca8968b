"""Whether output has colours: what the environment wishes, for all that is printed."""

from __future__ import annotations

import os

DUMB = frozenset({"dumb", "unknown"})
"""Terminals that show an escape as it stands."""


def colours() -> bool | None:
    """Return whether there are colours; None is: at a terminal.

    ``NO_COLOR`` (https://no-color.org) and ``FORCE_COLOR`` (https://force-color.org) count
    if they are not empty, and the first of them first.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return False if os.environ.get("TERM") in DUMB else None
