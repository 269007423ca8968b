"""What the outputs in the store directory were made from, and whether all are there.

Asked by the steps that look at a visit whose tarball is not here: `fetch`, which then
need not download it, and `cleanup`, which may remove what is not needed any more.
"""

from __future__ import annotations

from dataclasses import dataclass

from icfqueue.core.options import Options
from icfqueue.core.visit import Visit
from icfqueue.outputs import deposit
from icfqueue.outputs.deposit import FORMAT, Deposit, Source
from icfqueue.outputs.metadata_files import DicomsFile, read_tarball
from icfqueue.store.directory import Store


@dataclass(frozen=True, slots=True)
class Recorded:
    """The tarball that outputs were made from: size in bytes, MD5 in hex."""

    size: int
    md5: str


def recorded(store: Store, visit: Visit) -> Recorded | None:
    """Return the tarball that the visit's outputs were made from, if there are any.

    The metadata say it; where they were removed, the deposit does.

    Raises
    ------
    BadMetadata
        The metadata file is damaged.
    """
    tarball = read_tarball(store, visit)
    if tarball is not None:
        return Recorded(tarball.size, tarball.md5)
    found = deposit.read(store, visit)
    if found is not None and found.source is not None:
        return Recorded(found.source.size, found.source.md5)
    return None


def whole_deposit(
    store: Store, visit: Visit, store_url: str, dicoms: DicomsFile | None = None
) -> tuple[Deposit, Source] | None:
    """Return the visit's deposit and what it was made from, if it is whole and right.

    Right means: for this store URL, not of an outdated format (:func:`is_outdated`), and
    from the tarball and the DICOM metadata that the metadata files stand for. Where a
    metadata file is missing, the deposit's own word is taken: `cleanup` removes them on
    request.

    Parameters
    ----------
    dicoms
        The visit's list of DICOM files, for who goes on with it; read only if all else
        is right.

    Raises
    ------
    BadMetadata
        The metadata file of the tarball is damaged.
    """
    found = deposit.read(store, visit)
    source = right_source(found, store, visit, store_url, dicoms)
    return (found, source) if found and source else None


def right_source(
    found: Deposit | None,
    store: Store,
    visit: Visit,
    store_url: str,
    dicoms: DicomsFile | None = None,
) -> Source | None:
    """Return what the deposit `found` was made from, if it is right: :func:`whole_deposit`.

    Raises
    ------
    BadMetadata
        The metadata file of the tarball is damaged.
    """
    if found is None or found.source is None:
        return None
    source = found.source
    url = f"{store_url.rstrip('/')}/{visit.storepath}"
    if source.url != url:
        return None
    if is_outdated(source, store, visit):
        return None
    tarball = read_tarball(store, visit)
    if tarball is not None and (tarball.size, tarball.md5) != (source.size, source.md5):
        return None
    md5 = (dicoms or DicomsFile(store, visit)).md5
    if md5 is not None and md5 != source.metadata:
        return None
    return source


def is_outdated(source: Source, store: Store, visit: Visit) -> bool:
    """Return whether a deposit is to be made anew for its format alone.

    An older format is right as far as it goes: without the tarball here it stays, for it
    is not worth a download. A newer one is that of a newer release.
    """
    here = store.path(visit, visit.tarball)
    return source.format < FORMAT and store.exists(here)


def without_tarball(store: Store, visit: Visit, options: Options) -> bool:
    """Tell whether the visit needs no tarball here, because all else is.

    So it is when the tarball is not in the store directory, the deposit is whole, and the
    metadata are both there or were removed (the tarball's file goes first).
    """
    here = store.path(visit, visit.tarball)
    if options.force or store.exists(here):
        return False
    if whole_deposit(store, visit, options.store_url) is None:
        return False
    tarball, dicoms = (
        store.exists(store.path(visit, name))
        for name in (visit.metadata_tarball, visit.metadata_dicoms)
    )
    return dicoms if tarball else (not dicoms or options.remove_metadata)


def count_of_dicoms(store: Store, visit: Visit, store_url: str) -> int:
    """Return how many DICOM files the visit's metadata list.

    The deposit says it, if it was made from this very list; else the list is parsed.

    Raises
    ------
    BadMetadata
        The list is missing or damaged.
    """
    dicoms = DicomsFile(store, visit)
    found = whole_deposit(store, visit, store_url, dicoms)
    if found is not None and found[1].metadata == dicoms.md5:
        return found[1].dicoms
    return len(dicoms.records())
