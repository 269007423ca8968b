"""The two files of a deposit: writing, publishing and checking them.

::

    <visit>_XDLRA--refs         "<sha> <ref>" per line, then "@refs/heads/master HEAD"
    <visit>_XDLRA--repo-export  zip of a bare repository: HEAD, config, objects, …

This is what DataLad's ``datalad-annex::`` Git remote helper reads (datalad-next,
``gitremotes/datalad_annex.py``). The refs file is what a clone looks for first, so it
appears last and goes first. The zip is stored, not compressed: packs are compressed
already. Its comment says what it was made from (:class:`Source`), so that one look at
the end of the file tells whether there is anything to do.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

from icfqueue.core.errors import TransientError
from icfqueue.core.guard import Guard
from icfqueue.core.visit import Visit
from icfqueue.store.directory import Store

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

FORMAT = 2
"""What the deposit holds: 2 says where in the tarball each image begins. One of an older
version is made anew when the tarball is here."""

WITHOUT_PLACES = 1
"""Version of a deposit that does not say where images begin: it could not be known."""

HEAD = "refs/heads/master"

REFS = "XDLRA--refs"
"""End of the name of every refs file, a visit's and a project's."""

EXPORT = "XDLRA--repo-export"
"""The same of every repository."""

PLACEHOLDER = "{{annex_key}}"
"""Stands in a clone's URL where DataLad puts the names of the two files."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold (PKWARE APPNOTE, 4.4.6)."""

_BLOCK = 1 << 20

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
"""Given to git as an argument, so nothing else may pass."""

_PACK = re.compile(r"objects/pack/pack-[0-9a-f]{40}\.(?:pack|idx)")
"""All that is taken from a store's repository; its ``config`` could start programs."""

_PARTS = re.compile(
    "HEAD|config|packed-refs|objects/|objects/pack/|refs/|refs/heads/|" + _PACK.pattern
)

T = TypeVar("T", bound="DataclassInstance")


@dataclass(frozen=True, slots=True)
class Source:
    """The things that a dataset was made from. Two equal sources give the same dataset.

    Attributes
    ----------
    url
        Where the dataset says the tarball is.
    md5, size
        Of the tarball: hex, bytes.
    newest
        Modification time of its newest member, seconds since 1970.
    metadata
        MD5 of the file with the DICOM metadata.
    dicoms
        Number of DICOM files.
    """

    url: str
    md5: str
    size: int
    newest: int
    metadata: str
    dicoms: int
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Deposit:
    """A whole deposit in the store.

    Attributes
    ----------
    refs
        Ref name to commit (hex).
    source
        What it was made from; None for a deposit made by another tool.
    """

    refs: dict[str, str]
    source: Source | None


def clone_url(store_url: str, subject: Visit | str) -> str:
    """Return what ``datalad clone`` takes to clone a dataset.

    Parameters
    ----------
    store_url
        The store's address, as in ``https://data.example.org``.
    subject
        A visit, or the id of a project: the dataset of all its visits.
    """
    if isinstance(subject, Visit):
        base = f"{store_url.rstrip('/')}/{subject.project}/{subject.id}_"
    else:
        base = f"{store_url.rstrip('/')}/{subject}/"
    return (
        "datalad-annex::?type=external&externaltype=uncurl&encryption=none"
        f"&url={base}{PLACEHOLDER}"
    )


def read(store: Store, visit: Visit) -> Deposit | None:
    """Return the deposit of `visit`, or None if it is not there or not whole.

    Looks at the refs file and the end of the zip, not at the repository in it.
    """
    try:
        refs = parse_refs(store.read_bytes(store.path(visit, visit.refs)).decode("ascii"))
    except (FileNotFoundError, ValueError):
        return None
    found = read_export(store, visit)
    return found if found and found.refs == refs else None


def read_export(store: Store, visit: Visit) -> Deposit | None:
    """Return what the deposit's repository says, whether or not its refs are published.

    While a deposit is being replaced its refs file is not there. None if the repository
    is not there or not whole.
    """
    try:
        with (
            store.open_read(store.path(visit, visit.repo_export)) as file,
            zipfile.ZipFile(file) as export,
        ):
            packed = export.read("packed-refs").decode("ascii")
            comment, names = export.comment, export.namelist()
            whole = _ends_whole(file, comment)
    except (FileNotFoundError, zipfile.BadZipFile, KeyError, ValueError):
        return None
    inside = _refs_of_lines(line for line in packed.splitlines() if line[:1] not in "#^")
    if not whole or HEAD not in inside:
        return None
    source = made_from(comment, Source)
    if source is not None and not _has_pack(names):
        return None
    return Deposit(inside, source)


def unpack(store: Store, visit: Visit, repo: Path) -> None:
    """Put the objects of the visit's deposit into the bare repository `repo`.

    Raises
    ------
    OSError
        They cannot be read, or not be written.
    zipfile.BadZipFile
        They are damaged, or not as :func:`write_export` leaves them.
    """
    with (
        store.open_read(store.path(visit, visit.repo_export)) as file,
        zipfile.ZipFile(file) as export,
    ):
        unpack_packs(export, repo)


def unpack_packs(export: zipfile.ZipFile, repo: Path) -> None:
    """Put the packs of a repository in the store into the bare repository `repo`.

    Raises
    ------
    zipfile.BadZipFile
        They are damaged, or not as :func:`write_export` leaves them.
    """
    for part in export.infolist():
        name = part.filename
        if not _PACK.fullmatch(name):
            continue
        if part.compress_type != zipfile.ZIP_STORED:
            # Ours is not; one that is could fill the disk.
            raise zipfile.BadZipFile(f"{name} is compressed")
        with export.open(part) as inside, (repo / name).open("wb") as out:
            shutil.copyfileobj(inside, out, _BLOCK)


def parse_refs(text: str) -> dict[str, str]:
    """Return ref name to commit from the text of a refs file.

    Raises
    ------
    ValueError
        It is no refs file, or cut off.
    """
    *lines, head = text.splitlines()
    if head != f"@{HEAD} HEAD" or not text.endswith("\n"):
        raise ValueError("the refs file does not end with HEAD")
    return _refs_of_lines(lines)


def _refs_of_lines(lines: Iterable[str]) -> dict[str, str]:
    refs = {}
    for line in lines:
        sha, ref = line.split(" ")
        if not _COMMIT.fullmatch(sha):
            raise ValueError("a ref is no commit")
        refs[ref] = sha
    return refs


def publish(
    store: Store,
    visit: Visit,
    export: Path,
    refs: dict[str, str],
    guard: Guard,
    *,
    references: Path | None = None,
) -> bool:
    """Let the deposit appear in the store; return whether anything changed.

    Parameters
    ----------
    export
        The zip, finished, in the visit's work folder.
    refs
        Ref name to commit.
    references
        The file with the places of images, if one is to be there; likewise finished.

    Raises
    ------
    Withdrawn, OSError
        As :meth:`Store.publish`; the deposit is then whole or has no refs file.
    """
    final_export = store.path(visit, visit.repo_export)
    final_refs = store.path(visit, visit.refs)
    text = refs_text(refs)
    same = _same_bytes(store, export, final_export)
    listed = store.read_bytes(final_refs) if store.exists(final_refs) else None
    if same and listed == text:
        return False
    if not same:
        # Never may a refs file stand beside a repository that it does not belong to.
        if listed is not None:
            store.withdraw(visit, final_refs, guard)
        store.withdraw(visit, store.path(visit, visit.metadata_references), guard)
        store.publish(export, final_export, guard)
    if references is not None:
        store.publish(references, store.path(visit, visit.metadata_references), guard)
    publish_refs(store, visit, refs, export.parent, guard)
    return True


def _same_bytes(store: Store, new: Path, old: Path) -> bool:
    """Return whether a file in the store is there and has the bytes of a new one."""
    with suppress(FileNotFoundError), store.open_read(old) as there, new.open("rb") as here:
        if os.fstat(there.fileno()).st_size != os.fstat(here.fileno()).st_size:
            return False
        while block := here.read(_BLOCK):
            if there.read(len(block)) != block:
                return False
        return True
    return False


def publish_refs(
    store: Store, visit: Visit, refs: dict[str, str], scratch: Path, guard: Guard
) -> None:
    """Let the refs file appear, unless it is there and the same.

    Parameters
    ----------
    refs
        Ref name to commit, of the repository that is in the store already.
    scratch
        A folder of the visit for unfinished files.

    Raises
    ------
    Withdrawn, OSError
        As :meth:`Store.publish`; it did not appear.
    """
    target, text = store.path(visit, visit.refs), refs_text(refs)
    if store.exists(target) and store.read_bytes(target) == text:
        return
    new = scratch / "refs"
    new.write_bytes(text)
    store.publish(new, target, guard)


def refs_text(refs: dict[str, str]) -> bytes:
    """Return the content of the refs file."""
    lines = [f"{sha} {ref}\n" for ref, sha in sorted(refs.items())]
    return "".join([*lines, f"@{HEAD} HEAD\n"]).encode("ascii")


def pack_refs(repo: Path) -> dict[str, str]:
    """Move the branches of the bare repository `repo` into its ``packed-refs``.

    Returns
    -------
    dict
        Ref name to commit.
    """
    heads = repo / "refs" / "heads"
    refs = {f"refs/heads/{path.name}": path.read_text().strip() for path in heads.iterdir()}
    # The header is git's own: all names are there, peeled and sorted.
    lines = ["# pack-refs with: peeled fully-peeled sorted \n"]
    lines += [f"{sha} {ref}\n" for ref, sha in sorted(refs.items())]
    (repo / "packed-refs").write_text("".join(lines))
    for path in heads.iterdir():
        path.unlink()
    return refs


def write_export(repo: Path, target: Path, source: DataclassInstance) -> None:
    """Write the zip of the bare repository `repo`, the same bytes for the same files.

    Only what a clone needs is taken, in a fixed order with fixed times and modes.

    Parameters
    ----------
    source
        What it was made from, for the zip's comment.

    Raises
    ------
    TransientError
        Part of the repository is gone: another worker, which has the visit now, tidies up.
    """
    names = [str(path.relative_to(repo)) for path in repo.rglob("*")]
    names += [f"{name}/" for name in names if (repo / name).is_dir()]
    names = sorted(name for name in names if _PARTS.fullmatch(name))
    if not _has_pack(names):
        raise TransientError(f"{repo.name} is not whole", cause="deposit")
    with zipfile.ZipFile(target, "w") as export:
        export.comment = json.dumps({"icfqueue": asdict(source)}, sort_keys=True).encode()
        for name in names:
            _add(export, repo / name, name)


def _add(export: zipfile.ZipFile, path: Path, name: str) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system = 3  # Unix, wherever this runs: the upper half is the mode
    if name.endswith("/"):
        entry.external_attr = 0o40755 << 16 | 0x10
        export.writestr(entry, b"")
        return
    entry.external_attr = 0o100644 << 16
    entry.file_size = os.stat(path).st_size
    with path.open("rb") as file, export.open(entry, "w") as inside:
        shutil.copyfileobj(file, inside, _BLOCK)


def _ends_whole(file: IO[bytes], comment: bytes) -> bool:
    """Tell whether the zip's comment is as long as announced; `zipfile` lets it be cut."""
    file.seek(-len(comment) - 2, os.SEEK_END)
    return int.from_bytes(file.read(2), "little") == len(comment)


def _has_pack(names: list[str]) -> bool:
    """Tell whether the repository has packs, each with its index; one a commit."""
    packs = {Path(name).stem: set[str]() for name in names if "/pack-" in name}
    for name in names:
        if "/pack-" in name:
            packs[Path(name).stem].add(Path(name).suffix)
    whole = bool(packs) and all(found == {".idx", ".pack"} for found in packs.values())
    return whole and {"HEAD", "config"} <= set(names)


def made_from(comment: bytes, kind: type[T]) -> T | None:
    """Return what a repository was made from, by its zip's comment, or None."""
    try:
        return kind(**json.loads(comment)["icfqueue"])
    except (ValueError, KeyError, TypeError):
        return None
