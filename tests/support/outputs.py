"""Outputs of a visit as the steps leave them, made without running the steps."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from icfqueue.outputs import deposit
from icfqueue.outputs.deposit import Source
from icfqueue.steps.job import Job


def record(job: Job, content: bytes, *, deposited: bool = True) -> None:
    """Put outputs into the store as if they were made from `content`."""
    visit, store = job.visit, job.store
    md5 = hashlib.md5(content).hexdigest()
    told = {
        "size": len(content),
        "md5": md5,
        "dspath": visit.dspath,
        "storepath": visit.storepath,
    }
    store.path(visit, visit.metadata_tarball).write_text(json.dumps(told))
    store.path(visit, visit.metadata_dicoms).write_text("[]")
    if deposited:
        sha = "a" * 40
        export = store.path(visit, visit.repo_export)
        make_export(
            export,
            sha,
            Source(
                f"{job.options.store_url}/{visit.storepath}",
                md5,
                len(content),
                0,
                hashlib.md5(b"[]").hexdigest(),
                0,
            ),
        )
        store.path(visit, visit.refs).write_bytes(deposit.refs_text({deposit.HEAD: sha}))


def make_export(path: Path, sha: str, source: Source) -> None:
    repo = path.parent / "repo"
    (repo / "objects" / "pack").mkdir(parents=True)
    for name in (
        "HEAD",
        "config",
        *(f"objects/pack/pack-{sha}.{e}" for e in ("pack", "idx")),
    ):
        (repo / name).touch()
    (repo / "packed-refs").write_text(f"{sha} {deposit.HEAD}\n")
    deposit.write_export(repo, path, source)
    for found in sorted(repo.rglob("*"), reverse=True):
        found.rmdir() if found.is_dir() else found.unlink()
    repo.rmdir()


def names_in(folder: Path) -> set[str]:
    """Return the paths of all that is in a folder, relative to it."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
