"""``icfqueue metrics``: the numbers of the queue for Prometheus."""

from __future__ import annotations

import signal
from typing import Any

import click

from icfqueue.cli.options import where_options
from icfqueue.cli.shell.folding import say


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=9877,
    show_default=True,
    help="Port to listen at; 0 takes a free one.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen at; who reaches it can read the names of all projects.",
)
@where_options
def metrics(port: int, host: str, **where: Any) -> int:
    """Serve the numbers of the queue to Prometheus, which asks for them now and then.

    A broker that does not answer is icfqueue_up 0. One of them is enough for a broker,
    with workers or without, and it may be started anew at any time. Ctrl-C ends it.
    """
    import logging

    from icfqueue.cli.session import load_settings
    from icfqueue.core.plain_text import escape_record
    from icfqueue.monitoring.server import serving

    chosen = load_settings(where)
    handler = logging.StreamHandler()
    handler.addFilter(escape_record)
    logging.basicConfig(format="%(asctime)s %(message)s", handlers=[handler])
    # As Ctrl-C: a service manager ends it so.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with serving(chosen, host, port) as address:
        say(f"metrics are at {address} (Ctrl-C ends it)")
        try:
            signal.pause()
        except KeyboardInterrupt:
            return 0
    return 0
