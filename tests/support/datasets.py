"""Visits of chosen members, their deposits, and a look into datasets."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from icfqueue.core.options import Outcome
from icfqueue.dataset import programs
from icfqueue.demo.visits import NEWEST, shipped, write_tar
from icfqueue.outputs import tarball_index
from icfqueue.steps import export_repo, index_tar, write_json
from icfqueue.steps.job import Job

SOURCE = "dicomdirtests/98892003/MR1"
"""Small MR files among those that pydicom ships."""

TAGS = (
    "SeriesDescription",
    "SeriesNumber",
    "Modality",
    "MRAcquisitionType",
    "ProtocolName",
    "PulseSequenceName",
)
"""The six tags in the order of the metadata file; not taken from what is tested."""

EMPTY_TAGS = dict.fromkeys(TAGS, "")


def images(count: int) -> list[bytes]:
    """Return `count` DICOM files that differ in their last bytes (pixels)."""
    template = shipped(SOURCE)[0].read_bytes()
    return [template[:-4] + number.to_bytes(4, "little") for number in range(count)]


def put_visit(job: Job, members: Iterable[tuple[str, bytes]]) -> Outcome:
    """Write the visit's tarball and run the steps up to its deposit."""
    write_tar(job.store.path(job.visit, job.visit.tarball), members)
    index_tar.run(job)
    write_json.run(job)
    return export_repo.run(job)


def put_metadata(
    job: Job,
    records: Iterable[Mapping[str, Any]],
    *,
    newest: int = NEWEST,
    tarball: bytes = b"no tarball",
) -> None:
    """Write what the steps before `export_repo` leave of a tarball with these bytes."""
    store, visit = job.store, job.visit
    known = {"size": len(tarball), "md5": hashlib.md5(tarball).hexdigest()}
    about = {**known, "dspath": visit.dspath, "storepath": visit.storepath}
    listing = [{**EMPTY_TAGS, **record} for record in records]
    store.path(visit, visit.metadata_dicoms).write_text(json.dumps(listing))
    store.path(visit, visit.metadata_tarball).write_text(json.dumps(about))
    offsets = json.dumps([512 + 1024 * n for n in range(len(listing))]).encode()
    note = {
        **known,
        "dicoms": len(listing),
        "newest": newest,
        "inode": 0,
        "fingerprint": {"size": len(tarball), "mtime_ns": 0, "ctime_ns": 0},
        "settled": True,
        "listing": {"size": 0, "md5": ""},
        "offsets": tarball_index.Listing.of_bytes(offsets)._asdict(),
    }
    place = tarball_index.index_path(store, visit)
    place.parent.mkdir(parents=True, exist_ok=True)
    tarball_index.offsets_path(store, visit).write_bytes(offsets)
    place.write_text(json.dumps(note))


def deposit_bytes(job: Job) -> tuple[bytes, bytes]:
    """Return the visit's refs file and zip."""
    names = (job.visit.refs, job.visit.repo_export)
    first, second = (job.store.path(job.visit, name).read_bytes() for name in names)
    return first, second


def put_deposit(job: Job, content: tuple[bytes, bytes]) -> None:
    """Put back what :func:`deposit_bytes` gave."""
    for name, bytes_ in zip((job.visit.refs, job.visit.repo_export), content, strict=True):
        job.store.path(job.visit, name).write_bytes(bytes_)


def unpacked(job: Job, folder: Path) -> Path:
    """Return the bare repository of a deposit, unpacked into `folder`."""
    with zipfile.ZipFile(job.store.path(job.visit, job.visit.repo_export)) as export:
        export.extractall(folder)
    return folder


def git(repo: Path, *args: str, stdin: bytes | None = None) -> bytes:
    """Run git, or with a first word ``annex`` git-annex, in `repo`."""
    env = dict(os.environ, PATH=programs.search_path(), LC_ALL="C.UTF-8")
    done = subprocess.run(
        ["git", "-C", str(repo), *args],
        env=env,
        input=stdin,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    return done.stdout


class Entry(NamedTuple):
    """A path of a tree: mode, and content of the file or target of the link."""

    mode: bytes
    content: bytes


def tree(repo: Path, ref: str) -> dict[bytes, Entry]:
    """Return all files of `ref`, by path."""
    listed = git(repo, "ls-tree", "-r", "-z", ref).split(b"\0")[:-1]
    heads, paths = zip(*(line.split(b"\t", 1) for line in listed), strict=True)
    modes, _, shas = zip(*(head.split() for head in heads), strict=True)
    out = git(repo, "cat-file", "--batch", stdin=b"\n".join(shas) + b"\n")
    found, at = {}, 0
    for path, mode in zip(paths, modes, strict=True):
        end = out.index(b"\n", at)
        size = int(out[at:end].split()[2])
        found[path] = Entry(mode, out[end + 1 : end + 1 + size])
        at = end + 1 + size + 1
    return found


def annex(repo: Path) -> dict[bytes, frozenset[bytes]]:
    """Return what the git-annex branch says, by log file, as a set of lines.

    Times are left out, UUIDs replaced by the remotes' names, and the repository's own
    UUID left out: these differ from one construction to the next.
    """
    logs = tree(repo, "git-annex")
    names = {}
    for line in logs[b"remote.log"].content.splitlines():
        names[line.split()[0]] = line.partition(b" name=")[2].split()[0]
    found = {}
    for path, (mode, content) in logs.items():
        assert mode == b"100644"
        text = re.sub(rb"\b\d{9,}s ?|timestamp=\d+s", b"", content)
        for uuid, name in names.items():
            text = text.replace(uuid, name)
        lines = (b" ".join(line.split()) for line in text.splitlines())
        if path == b"uuid.log":
            lines = (line for line in lines if not re.match(rb"[0-9a-f]{8}-", line))
        found[path] = frozenset(lines)
    return found


def annex_json(repo: Path, *args: str) -> list[Any]:
    """Return the JSON lines that a git-annex command writes."""
    return [json.loads(line) for line in git(repo, "annex", *args, "--json").splitlines()]


def call(*args: str | Path, cwd: Path) -> str:
    """Run a command as a scientist does, who types nothing more; return what it prints."""
    done = subprocess.run(
        args, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode("utf-8", "replace")
    return done.stdout.decode()
