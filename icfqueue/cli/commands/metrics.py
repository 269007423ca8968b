"""``icfqueue metrics``: the numbers of the queue for Prometheus."""

from __future__ import annotations

from typing import Any

import click

from icfqueue.cli.options import listening_options, where_options


@click.command()
@listening_options(9877, "who reaches it can read the names of all projects")
@where_options
def metrics(port: int, host: str, **where: Any) -> int:
    """Serve the numbers of the queue to Prometheus; the broker is asked at each scrape.

    A broker that does not answer is icfqueue_up 0. One of them is enough for a broker,
    with workers or without, and it may be started anew at any time. Ctrl-C ends it.
    """
    import logging

    from icfqueue.cli.session import load_settings
    from icfqueue.cli.shell.serving import until_told
    from icfqueue.core.plain_text import escape_record
    from icfqueue.monitoring.server import serving

    chosen = load_settings(where)
    handler = logging.StreamHandler()
    handler.addFilter(escape_record)
    logging.basicConfig(format="%(asctime)s %(message)s", handlers=[handler])
    return until_told(
        serving(chosen, host, port), lambda address: f"metrics are at {address}"
    )
