"""Metadata files of a visit as ``write_json`` leaves them, made without a tarball."""

from __future__ import annotations

import json
from typing import Any

from icfqueue.core.visit import Visit
from icfqueue.outputs.metadata_files import TarballMeta
from icfqueue.store.directory import Store
from support.datasets import EMPTY_TAGS


def write_metadata(
    store: Store, visit: Visit, *, dicoms: int = 2, size: int = 5 << 20, **tags: Any
) -> None:
    """Write both files, of so many DICOM files with the same `tags`."""
    given = EMPTY_TAGS | {"Modality": "MR", "ProtocolName": "t1"} | tags
    entries = [
        {"path": f"a/{number}", "md5": "0" * 32, "size": 9, **given}
        for number in range(dicoms)
    ]
    tarball = {"size": size, "md5": "1" * 32}
    tarball |= {"dspath": visit.dspath, "storepath": visit.storepath}
    store.path(visit, visit.metadata_tarball).write_text(json.dumps(tarball))
    store.path(visit, visit.metadata_dicoms).write_text(json.dumps(entries))


def tarball_of(visit: Visit, size: int = 1000) -> TarballMeta:
    """Return what stands in the tarball's file of `visit`."""
    return TarballMeta(size, "1" * 32, visit.dspath, visit.storepath)
