"""Whether a tarball is still the one that a visit's outputs were made from.

The two rules for a tarball and a visit's record: for the tarball in the store directory,
which is read again unless it is known by its fingerprint, and for the store's, of which
size and published MD5 are known without a download. (Whether files that we left belong
together is :mod:`icfqueue.outputs.completeness`.)

A fingerprint is compared for equality and nothing else. Which of two files is the newer
one is not asked: clocks of machines differ, times can be set, and some file systems know
whole seconds only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

from icfqueue.core.errors import TarballChanged, TarballTouched
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

    def words(self) -> tuple[str, str]:
        """Return what was found and what is recorded: ``("8 bytes", "9 bytes")``."""
        form = "{} bytes" if self.what == "size" else "MD5 {}"
        return form.format(self.found), form.format(self.recorded)


class KnownTarball(NamedTuple):
    """A tarball that was read before, as the visit's record has it.

    Attributes
    ----------
    fingerprint
        What it was known by; any change of it from then on is sure to show
        (:func:`icfqueue.store.settling.is_settled`).
    md5
        What was found (hex).
    """

    fingerprint: tuple[int, int, int, int]
    md5: str

    @classmethod
    def of(
        cls, fingerprint: tuple[int, int, int, int] | None, md5: str | None
    ) -> Self | None:
        """Return what a record knows of the tarball, None if it does not know both."""
        return None if fingerprint is None or md5 is None else cls(fingerprint, md5)


def touched(visit: Visit) -> TarballTouched:
    """Return the error for a tarball that changed while it was worked on."""
    return TarballTouched(
        f"{visit.storepath} changed while it was being processed",
        hint="nothing may write to a tarball in the store; the visit is tried again",
    )


def change_here(
    store: Store,
    visit: Visit,
    tarball: Fingerprint,
    recorded: Recorded,
    guard: Guard = UNGUARDED,
    *,
    known: KnownTarball | None = None,
) -> Change | None:
    """Return how the tarball in the store directory differs from the recorded one.

    Parameters
    ----------
    tarball
        Its fingerprint. It is read, and `guard` told of it, only if its size is the
        recorded one and it is not known.
    known
        What the visit's record knows of it.

    Raises
    ------
    TarballTouched
        It changed while it was read.
    OSError
        It cannot be read.
    """
    if tarball.size != recorded.size:
        return Change("size", tarball.size, recorded.size)
    if known is not None and known.fingerprint == tarball:
        md5 = known.md5
    else:
        md5 = _md5(store, visit, tarball, guard)
    return None if md5 == recorded.md5 else Change("MD5", md5, recorded.md5)


def _md5(store: Store, visit: Visit, tarball: Fingerprint, guard: Guard) -> str:
    path = store.path(visit, visit.tarball)
    with store.open_read(path) as file:
        md5 = md5_of(file, guard)
    # By its name, which another file may have been given meanwhile.
    if store.fingerprint(path) != tarball:
        raise touched(visit)
    return md5


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


def check_in_store(
    visit: Visit, known: Recorded | None, size: int | None, published: str | None
) -> None:
    """Raise if the store's tarball is not the one that outputs here were made from.

    Parameters
    ----------
    known
        The recorded one; None if there is none, or any is right.
    size, published
        As for :func:`change_in_store`.

    Raises
    ------
    TarballChanged
        It is another one.
    """
    change = change_in_store(size, published, known) if known else None
    if change is None:
        return
    if change.what == "size":
        found, expected = f"{change.found} bytes", f"{change.recorded}"
    else:
        found, expected = f"the MD5 {change.found}", f"{change.recorded}"
    raise TarballChanged(
        f"{visit.storepath} has {found} in the store; the outputs here were made from "
        f"one with {expected}",
        hint="if the new tarball is right, 'icfqueue run PROJECT VISIT --force'",
    )
