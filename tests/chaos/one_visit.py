"""Does all steps of one visit in a process of its own, which a fault may end.

Started by :mod:`test_faultpoints`, which asks as :mod:`support.forked` says.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from support.forked import serve
from support.streams import run_steps

from icfqueue.core.options import Options
from icfqueue.core.processes import faultpoint
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.steps.job import Job
from icfqueue.store.directory import Store


def do_steps(request: dict[str, Any]) -> None:
    """Run the steps one after the other, as a worker would."""
    for variable in (faultpoint.VARIABLE, faultpoint.LOG_VARIABLE):
        os.environ.pop(variable, None)
    os.environ.update(request["env"])
    root = Path(request["root"])
    job = Job(
        Visit(request["project"], request["visit"]),
        Options(**request["options"]),
        Store(root),
        Settings(store_dir=root, keep_free=0),
    )
    run_steps(job)


def main() -> None:
    # The first visit is done here, so that every fork finds everything imported.
    do_steps(json.loads(sys.stdin.readline()))
    serve(do_steps)


if __name__ == "__main__":
    main()
