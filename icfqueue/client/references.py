"""Files with the place of each image in its tarball, for readers without DataLad.

They are made of the deposits: neither tarball nor metadata need be here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import BadZipFile

from icfqueue.core.errors import ToolFailed, TransientError, UsageError
from icfqueue.core.guard import UNGUARDED
from icfqueue.core.visit import Visit, expand
from icfqueue.dataset import repository
from icfqueue.dataset.history import places_of, read_base
from icfqueue.outputs import deposit, references
from icfqueue.outputs.deposit import Deposit
from icfqueue.store.directory import Store
from icfqueue.store.disk import disk_trouble
from icfqueue.store.inventory import present
from icfqueue.store.near_misses import like_project

_TRIES = 3
"""How often a deposit may be replaced while its references are written."""


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a visit: the number of images, or why there is no file."""

    visit: Visit
    images: int = 0
    why_not: str = ""


def write_references(store: Store, project: str, named: Sequence[str]) -> Iterator[Told]:
    """Write the references of visits beside their deposits; yield each as it is done.

    Parameters
    ----------
    named
        Ids or globs; without any, all that have a deposit are taken.

    Raises
    ------
    UsageError
        There is no deposit at all.
    BadId, OSError, UnsafePath
        A name is none, or a file cannot be read or written.
    """
    visits = expand(project, named, lambda: _with_dataset(store, project))
    if not named:
        visits = _with_dataset(store, project)
    if not visits:
        raise UsageError(
            f"no visit of {project} has a dataset in {store.root}",
            hint=like_project(
                store,
                project,
                "is --store-dir right? 'icfqueue run PROJECT' makes datasets",
            ),
        )
    for visit in visits:
        with disk_trouble("writing references"):
            told = _write(store, visit)
        yield told


def _with_dataset(store: Store, project: str) -> list[Visit]:
    return [
        visit
        for visit in present(store, project)
        if store.exists(store.path(visit, visit.refs))
    ]


def _write(store: Store, visit: Visit) -> Told:
    for _ in range(_TRIES):
        found = deposit.read(store, visit)
        if found is None:
            return Told(visit, why_not="it has no dataset")
        told, text = _text(store, visit, found)
        if text is None:
            return told
        with store.references_scratch(visit.project) as scratch:
            new = scratch / "references"
            new.write_text(text, encoding="utf-8")
            target = store.path(visit, visit.metadata_references)
            store.publish(new, target, UNGUARDED)
        if deposit.read(store, visit) == found:
            return told
    raise TransientError(
        f"the dataset of {visit} was replaced while it was read", hint="try it again"
    )


def _text(store: Store, visit: Visit, found: Deposit) -> tuple[Told, str | None]:
    """Return what to say of a deposit, and its references if it knows them."""
    if found.source is None:
        return Told(visit, why_not="its dataset was made by another tool"), None
    with TemporaryDirectory(prefix="icfqueue-") as folder:
        repo = repository.make_bare(Path(folder) / "repo")
        try:
            deposit.unpack(store, visit, repo)
            base = read_base(repo, found.refs, found.source.md5, UNGUARDED)
            places = places_of(base, repo, UNGUARDED)
        except (ToolFailed, BadZipFile, ValueError):
            return Told(visit, why_not="its dataset is damaged"), None
    if places is None:
        again = f"icfqueue run {visit.project} {visit.id}"
        why = "its dataset does not say where images begin; with the tarball in the store "
        return Told(visit, why_not=f"{why}directory '{again}' makes it anew"), None
    return Told(visit, len(places)), references.dump(found.source.url, places)
