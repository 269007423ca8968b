"""Commands that serve something until somebody ends them."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import TypeVar

import click

T = TypeVar("T")


def until_told(server: AbstractContextManager[T], words: Callable[[T], str]) -> int:
    """Serve until Ctrl-C or SIGTERM; return the exit code.

    Parameters
    ----------
    server
        Serves for the length of a block.
    words
        Return what is said once it serves: of what `server` gives, where it is.
    """
    # As Ctrl-C: a service manager ends it so.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with server as given, suppress(KeyboardInterrupt):
        # Whoever reads this may end it before it waits.
        click.echo(f"{words(given)} (Ctrl-C ends it)")
        # A signal that comes just before a sleep is seen after it: hence no endless one.
        while True:
            time.sleep(1.0)
    return 0
