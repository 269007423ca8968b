"""``icfqueue references``: where each image is, for readers without DataLad."""

from __future__ import annotations

from typing import Any

import click

from icfqueue.cli.options import store_dir_option, visit_arguments
from icfqueue.cli.planning import counted
from icfqueue.cli.session import load_settings
from icfqueue.cli.shell.again import whole
from icfqueue.cli.shell.folding import say


@click.command()
@visit_arguments
@store_dir_option
def references(project: str, visits: tuple[str, ...], **where: Any) -> int:
    """Write files that tell fsspec where in its tarball each image is.

    One for each VISIT of PROJECT, or for all that have a dataset, beside the other
    files of the visit. The exit code is 1 if one could not be written.
    """
    from icfqueue.client.references import write_references
    from icfqueue.store.directory import Store

    store = Store.of(load_settings(where))
    store.check_is_there()
    written = missed = 0
    for told in write_references(store, project, visits):
        if told.why_not:
            missed += 1
            say(f"{told.visit.id}: left out, {whole(told.why_not)}", err=True)
        else:
            written += 1
    say(f"{project}: references of {counted(written, 'visit')} written")
    return int(missed > 0)
