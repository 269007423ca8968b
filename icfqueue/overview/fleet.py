"""Whether the workers that live go together: versions, store, umask, clocks, disks.

All workers that write deposits must write the same bytes: a visit that another one does
again would differ. Each has made the same sample, which is compared; versions tell less.
What else differs is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from icfqueue.core.plain_text import size
from icfqueue.ledger.roster import WRITERS, Sign

WRITES_DEPOSITS = ("icfqueue", "git", "git-annex")
"""Programs that write deposits; another version need not write other bytes."""

OTHERS = ("python", "datalad")

SKEW = 5.0
"""Seconds that a worker's clock may be away from the server's; a sign is under way, too."""

NAMED = 3
"""Workers that are named; of the others only the number is told."""


@dataclass(frozen=True, slots=True)
class Trait:
    """One thing in which workers can differ.

    Attributes
    ----------
    what, found, remedy
        In words.
    bad
        Work must not go on like this.
    note
        Worth knowing.
    """

    what: str
    found: str
    remedy: str = ""
    bad: bool = False
    note: bool = False


def compare(signs: Sequence[Sign], keep_free: int) -> Iterator[Trait]:
    """Yield what is alike among workers, and what is not.

    Parameters
    ----------
    signs
        Of the workers that live.
    keep_free
        Bytes of a disk that a download leaves free.
    """
    if not signs:
        yield Trait("workers", "none lives", "start one: icfqueue worker", bad=True)
        return
    hosts = len({sign.host for sign in signs})
    yield Trait("workers", f"{len(signs)} on {hosts} machine{'s' * (hosts > 1)}")
    known = [sign for sign in signs if sign.versions]
    if known:
        for name in WRITES_DEPOSITS:
            yield _of_writers(name, known)
        yield from _samples(known)
        for name in OTHERS:
            yield _alike(name, known, _version(name))
    if new := [sign for sign in signs if not sign.versions]:
        yield Trait(
            "versions", f"not yet known of {_named(new)}", "ask again soon", note=True
        )
    yield _alike("glibc", signs, lambda sign: sign.glibc)
    yield _store(signs)
    yield _alike(
        "umask",
        signs,
        lambda sign: sign.umask,
        "what is copied into the store by hand should be the group's: umask 002",
    )
    yield _clocks(signs)
    yield from _disks(signs, keep_free)


def other_bytes(signs: Sequence[Sign]) -> str:
    """Return which workers would write other bytes than others; empty if none would."""
    writers = [sign for sign in signs if sign.writes and sign.sample]
    if len({sign.sample for sign in writers}) < 2:  # noqa: PLR2004 - to differ takes two
        return ""
    groups = _values(writers, lambda sign: f"sample {sign.sample[:8]}")
    return f"{groups}: they write other bytes for the same tarball"


def _samples(signs: Sequence[Sign]) -> Iterator[Trait]:
    """Yield whether those that write datasets write the same."""
    what = "deposits"
    writers = [sign for sign in signs if sign.writes]
    if differ := other_bytes(writers):
        yield Trait(
            what,
            differ,
            "the same icfqueue, git-annex, git and zlib for all workers of the queues "
            f"{', '.join(sorted(WRITERS))}; stop the others until then",
            bad=True,
        )
    elif writers and (new := [sign for sign in writers if not sign.sample]):
        yield Trait(
            what,
            f"what {_named(new)} would write is not yet known",
            "ask again soon; a worker of an older release does not tell",
            note=True,
        )
    elif writers:
        yield Trait(what, f"the same bytes by all (sample {writers[0].sample[:8]})")


def _of_writers(name: str, signs: Sequence[Sign]) -> Trait:
    """Return whether those that write datasets have a program, and one version of it.

    If not, their samples tell whether that matters; without these it may.
    """
    version = _version(name)
    writers = [sign for sign in signs if sign.writes]
    unknown = not all(sign.sample for sign in writers)
    if unknown and len({version(sign) for sign in writers}) > 1:
        return Trait(
            name,
            f"{_values(writers, version)}: they may write other bytes for the same tarball",
            f"one {name} for all workers of the queues {', '.join(sorted(WRITERS))}; stop "
            "the others until then",
            bad=True,
        )
    if lacking := [sign for sign in writers if not version(sign)]:
        return Trait(name, f"not found by {_named(lacking)}", f"install {name}", bad=True)
    return _alike(name, signs, version)


def _version(name: str) -> Callable[[Sign], str]:
    return lambda sign: sign.versions.get(name, "")


def _alike(
    what: str, signs: Sequence[Sign], value: Callable[[Sign], str], remedy: str = ""
) -> Trait:
    """Return whether workers have the same; it does no harm if not."""
    if len({value(sign) for sign in signs}) > 1:
        return Trait(what, _values(signs, value), remedy, note=True)
    return Trait(what, f"{value(signs[0]) or 'none'}, on all")


def _store(signs: Sequence[Sign]) -> Trait:
    """Return whether all see one store directory, wherever it is with each."""
    what = "store directory"
    if all(not sign.store_id and sign.disk_total for sign in signs):
        return Trait(
            what,
            "it has no id yet, by which workers could be compared",
            "the first 'icfqueue enqueue PROJECT' or 'icfqueue run PROJECT' gives it one",
            note=True,
        )
    if blind := [sign for sign in signs if not sign.store_id]:
        return Trait(
            what,
            f"not seen by {_named(blind)}",
            f"is it mounted there? ({blind[0].store_dir})",
            bad=True,
        )
    if len({sign.store_id for sign in signs}) > 1:
        return Trait(
            what,
            _values(signs, lambda sign: f"{sign.store_dir} (id {sign.store_id[:8]})"),
            "one broker serves one store: give the others another, or a database of "
            "their own (redis://host/1)",
            bad=True,
        )
    sizes = {sign.disk_total for sign in signs if sign.disk_total is not None}
    if len(sizes) > 1:
        return Trait(
            what,
            "one id on file systems of different size, "
            + _values(signs, lambda sign: _bytes(sign.disk_total)),
            "is it one folder, or a copy with the id of another? "
            "(.icfqueue/store-id in the copy is to be removed)",
            note=True,
        )
    paths = sorted({sign.store_dir for sign in signs})
    return Trait(what, f"one for all, at {' and '.join(paths)}")


def _clocks(signs: Sequence[Sign]) -> Trait:
    """Return whether clocks agree with the broker's; nothing but logs depends on it."""
    off = [sign for sign in signs if abs(sign.clock - sign.seen) > SKEW]
    if off:
        told = ", ".join(
            f"{sign.clock - sign.seen:+.0f} s on {sign.host}" for sign in off[:NAMED]
        )
        return Trait(
            "clock",
            f"other than the broker's: {told}{_more(off)}",
            "have them set (chrony, ntp): logs and certificates go by them",
            note=True,
        )
    return Trait("clock", f"within {SKEW:.0f} s of the broker's, on all")


def _disks(signs: Sequence[Sign], keep_free: int) -> Iterator[Trait]:
    """Yield what each sees of the room that there is."""
    what = "free disk"
    if silent := [sign for sign in signs if sign.disk_free is None]:
        yield Trait(
            what,
            f"the file system does not answer on {_named(silent)}",
            "is its server up?",
            bad=True,
        )
    known = [sign for sign in signs if sign.disk_free is not None]
    full = [sign for sign in known if (sign.disk_free or 0) <= keep_free]
    if full:
        yield Trait(
            what,
            f"{_bytes(min(sign.disk_free or 0 for sign in full))} for {_named(full)}, "
            f"which take no work ({_bytes(keep_free)} stay free: keep_free)",
            "make room, or have tarballs removed when they are done: --remove-tarball",
            bad=True,
        )
    if not (silent or full):
        least = min(sign.disk_free or 0 for sign in known)
        yield Trait(what, f"{_bytes(least)} or more, on all")


def _values(signs: Sequence[Sign], value: Callable[[Sign], str]) -> str:
    """Return each value with its workers, the most frequent one first."""
    groups: dict[str, list[Sign]] = {}
    for sign in signs:
        groups.setdefault(value(sign), []).append(sign)
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return "; ".join(f"{text or 'none'} on {_named(group)}" for text, group in ordered)


def _named(signs: Sequence[Sign]) -> str:
    return ", ".join(sign.name for sign in signs[:NAMED]) + _more(signs)


def _more(signs: Sequence[Sign]) -> str:
    return f" and {len(signs) - NAMED} more" if len(signs) > NAMED else ""


def _bytes(number: int | None) -> str:
    return "unknown" if number is None else size(number)
