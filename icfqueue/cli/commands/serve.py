"""``icfqueue serve``: the store directory on the web."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import click

from icfqueue.cli.options import store_dir_option
from icfqueue.cli.shell.folding import say


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen at; 0 takes a free one.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen at; one that others can reach needs --password-file.",
)
@click.option(
    "--password-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Users and passwords, as 'htpasswd -B' writes them (bcrypt).",
)
@store_dir_option
def serve(port: int, host: str, password_file: Path | None, **where: Any) -> int:
    """Serve the store directory, with its catalogs, to browsers and to DataLad.

    At the top is a page over all projects; the folders below it are listed. Nothing can
    be changed through it, and no link is followed out of the store. Ctrl-C ends it.
    """
    from icfqueue.cli.session import load_settings
    from icfqueue.serve.serving import serving

    chosen = load_settings(where)
    # As Ctrl-C: a service manager ends it so.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with serving(chosen, host, port, password_file) as server:
        say(f"{server.root} is at {server.url}/ (Ctrl-C ends it)")
        try:
            signal.pause()
        except KeyboardInterrupt:
            return 0
    return 0
