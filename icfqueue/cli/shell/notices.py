"""``--notify`` and ``--exec``: messages while a command goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from icfqueue.cli.shell.again import ours, place_from_afar
from icfqueue.cli.shell.folding import say

if TYPE_CHECKING:
    from icfqueue.cli.session import Session
    from icfqueue.monitoring.notify import Notifier
    from icfqueue.monitoring.watch import Watch

LOOK_AGAIN = 1.0
"""Seconds between two looks for what is worth a message."""


@contextmanager
def notices(
    opened: Session, project: str | None, url: str | None, command: str | None
) -> Iterator[None]:
    """Send messages about `project`, or about all, until the block ends.

    Parameters
    ----------
    url, command
        What ``--notify`` and ``--exec`` were given; without the former the setting counts.
    """
    if url is None and opened.settings.notify:
        url = opened.settings.notify.reveal()
    if not url and not command:
        yield
        return
    from icfqueue.monitoring.notify import Notifier
    from icfqueue.monitoring.watch import Watch

    notifier = Notifier(url, command, partial(say, err=True, colour="yellow"))
    # Who reads them is in another folder. The thread knows no context.
    named = partial(ours, place=place_from_afar())
    watch = Watch(opened.ledger, opened.settings, project, command=named)
    ends = threading.Event()
    thread = threading.Thread(target=_look, args=(watch, notifier, ends), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()
        notifier.close()


def _look(watch: Watch, notifier: Notifier, ends: threading.Event) -> None:
    """Look until the end, and once more then."""
    import redis

    while True:
        last = ends.wait(LOOK_AGAIN)
        # What happens while the broker is away is told when it is back.
        with suppress(redis.RedisError, OSError):
            for message in watch.look(last=last):
                notifier.tell(message)
        if last:
            return
