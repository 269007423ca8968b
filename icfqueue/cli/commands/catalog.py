"""``icfqueue catalog``: build a catalog anew."""

from __future__ import annotations

from typing import Any

import click

from icfqueue.cli.options import project_argument, where_options
from icfqueue.cli.session import session
from icfqueue.cli.shell.again import remedy
from icfqueue.cli.shell.folding import say


@click.command()
@project_argument
@where_options
def catalog(project: str, **where: Any) -> int:
    """Build the catalog of PROJECT anew from the metadata files.

    Its dataset of all visits is renewed, too, from the deposits.
    """
    from icfqueue.core.errors import StepError
    from icfqueue.pipeline.catalog_batch import rebuild_catalog

    with session(where, folder_of=project) as opened:
        results = rebuild_catalog(opened.settings, opened.store, opened.ledger, project)
        bad = {v: r for v, r in results.items() if isinstance(r, StepError)}
        for visit, error in bad.items():
            say(f"{visit.id}: {error.message}", err=True, colour="red")
            say(remedy(error, visit), 2, err=True)
        where_is = opened.store.catalog_dir(project) / "index.html"
        say(f"{project}: {len(results) - len(bad)} visits in {where_is}")
    return int(bool(bad))
