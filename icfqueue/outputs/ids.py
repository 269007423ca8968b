"""Ids that are the same for ever and everywhere: made from the store URL and the visit."""

from __future__ import annotations

import uuid

from icfqueue.core.visit import Visit


def dataset_id(store_url: str, visit: Visit) -> uuid.UUID:
    """Return the DataLad id of the visit's dataset: the same for ever and everywhere."""
    return _uuid(store_url, visit)


def superdataset_id(store_url: str, project: str) -> uuid.UUID:
    """Return the DataLad id of the project's dataset: also that of its study page."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"{store_url.rstrip('/')}/{project}")


def remote_uuid(store_url: str, visit: Visit, remote: str) -> uuid.UUID:
    """Return the git-annex UUID of the special remote called `remote`."""
    return _uuid(store_url, visit, f"#{remote}")


def _uuid(store_url: str, visit: Visit, role: str = "") -> uuid.UUID:
    name = f"{store_url.rstrip('/')}/{visit.project}/{visit.id}{role}"
    return uuid.uuid5(uuid.NAMESPACE_URL, name)
