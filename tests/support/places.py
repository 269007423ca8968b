"""Where workers are to work that files start: a store with a name that must be quoted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from icfqueue.core.settings import Secret, Settings
from icfqueue.core.steps import QUEUES
from icfqueue.deploy import plan
from icfqueue.deploy.place import Place

ODD = """/data/it's "my" store $HOME `id` %h \\ ;x"""
PASSWORD = "hunter2"
ONE = plan.plain(1, 4, QUEUES, 4 * 3600.0)


def place(store: str = "/data/icf", **more: Any) -> Place:
    settings = Settings(
        store_dir=Path(store),
        broker_url=Secret(f"redis://me:{PASSWORD}@broker.example.org:6379/0"),
        **more,
    )
    return Place(settings, "/opt/my programs/icfqueue")
