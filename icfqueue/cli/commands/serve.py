"""``icfqueue serve``: the store directory on the web."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from icfqueue.cli.options import listening_options, store_dir_option


@click.command()
@listening_options(8000, "one that others can reach needs --password-file")
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
    from icfqueue.cli.shell.serving import until_told
    from icfqueue.serve.serving import serving

    chosen = load_settings(where)
    return until_told(
        serving(chosen, host, port, password_file),
        lambda server: f"{server.root} is at {server.url}/",
    )
