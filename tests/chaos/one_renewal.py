"""Renews a superdataset in a process of its own, which is killed after a while.

Started by :mod:`test_superdataset`, which asks as :mod:`support.forked` says.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.forked import serve

from icfqueue.core.visit import Visit
from icfqueue.dataset.superdataset import renewal
from icfqueue.store.directory import Store


def renew(request: dict[str, Any]) -> None:
    visits = [Visit(request["project"], name) for name in request["visits"]]
    renewal.renew(Store(Path(request["root"])), request["project"], visits, request["url"])


if __name__ == "__main__":
    serve(renew)
