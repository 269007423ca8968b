"""Whether a tarball is still the one that a visit's outputs were made from.

Both rules stand here alone: for the tarball in the store directory, which is read again
only if it may have been touched since, and for the store's, of which size and published
MD5 are known without a download.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from icfqueue.core.guard import UNGUARDED, Guard
from icfqueue.core.visit import Visit
from icfqueue.outputs.completeness import Recorded
from icfqueue.store.directory import Store
from icfqueue.store.fingerprint import Fingerprint, md5_of


@dataclass(frozen=True, slots=True)
class Change:
    """In what a tarball differs from the recorded one.

    Attributes
    ----------
    what
        ``size`` (bytes) or ``MD5`` (hex).
    found, recorded
        The two values.
    """

    what: Literal["size", "MD5"]
    found: int | str
    recorded: int | str


def is_vouched(store: Store, visit: Visit, tarball: Fingerprint) -> bool:
    """Return whether the outputs are known, without reading it, to stand for `tarball`.

    They are if the file that vouches for them (that of the tarball's metadata; the
    deposit's refs where these were removed) is newer than the last change of the
    tarball: ``ctime`` cannot be set back.
    """
    for name in (visit.metadata_tarball, visit.refs):
        if found := store.fingerprint(store.path(visit, name)):
            return tarball.ctime_ns < found.mtime_ns
    return False


def change_here(
    store: Store,
    visit: Visit,
    tarball: Fingerprint,
    recorded: Recorded,
    guard: Guard = UNGUARDED,
) -> Change | None:
    """Return how the tarball in the store directory differs from the recorded one.

    Parameters
    ----------
    tarball
        Its fingerprint. It is read, and `guard` told of it, only if its size is the
        recorded one and nothing vouches for it (:func:`is_vouched`).

    Raises
    ------
    OSError
        It cannot be read.
    """
    if tarball.size != recorded.size:
        return Change("size", tarball.size, recorded.size)
    if is_vouched(store, visit, tarball):
        return None
    with store.open_read(store.path(visit, visit.tarball)) as file:
        md5 = md5_of(file, guard)
    return None if md5 == recorded.md5 else Change("MD5", md5, recorded.md5)


def change_in_store(
    size: int | None, published: str | None, recorded: Recorded
) -> Change | None:
    """Return how the store's tarball differs from the recorded one.

    Parameters
    ----------
    size
        Bytes; None if the store does not say.
    published
        MD5 (hex); None if the store publishes none.
    """
    if size is not None and size != recorded.size:
        return Change("size", size, recorded.size)
    if published is not None and published != recorded.md5:
        return Change("MD5", published, recorded.md5)
    return None
