"""What a project takes on the disk here, and on the wire when it is cloned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from icfqueue.catalog.series_file import NAME
from icfqueue.core.visit import TAR_SUFFIX
from icfqueue.outputs.deposit import EXPORT, REFS
from icfqueue.store.directory import Store

KINDS = (
    ("tarballs", (TAR_SUFFIX, f"{TAR_SUFFIX}.md5sum")),
    ("metadata", ("_metadata_tarball.json", "_metadata_dicoms.json")),
    ("references", ("_metadata_references.json",)),
    ("deposits", (REFS, EXPORT)),
    ("table of series", (NAME,)),
)
"""What the files of a project's folder are, and how the names of each kind end."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Files of one kind, and their bytes together."""

    kind: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What a project takes.

    Attributes
    ----------
    here
        By kind, of the files in the project's folder; the catalog's pages are left out.
    clone
        Bytes that a clone of a visit asks for, the median; None without deposits.
    """

    here: list[Taken]
    clone: float | None


def usage_of(store: Store, project: str) -> Usage:
    """Return what `project` takes."""
    files: dict[str, list[int]] = defaultdict(list)
    deposits: dict[str, int] = defaultdict(int)
    for name, size in _sizes(store, project):
        for kind, ends in KINDS:
            end = next((one for one in ends if name.endswith(one)), None)
            if end is not None:
                files[kind].append(size)
                if kind == "deposits" and name != end:
                    deposits[name.removesuffix(end)] += size
    here = [
        Taken(kind, len(files[kind]), sum(files[kind])) for kind, _ in KINDS if files[kind]
    ]
    return Usage(here, median(deposits.values()) if deposits else None)


def _sizes(store: Store, project: str) -> Iterator[tuple[str, int]]:
    with store.beneath.folder(store.project_dir(project)) as folder:
        for entry in folder.listing():
            if entry.kind == "file" and (found := folder.stat(entry.name)):
                yield entry.name, found.st_size
