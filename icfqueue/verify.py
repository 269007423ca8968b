"""Proof that a deposit gives back what it promises: as a scientist would use it.

The deposit is cloned by DataLad into a temporary folder, its annex is checked, and some
images are got through it, tarball and all, and compared with the recorded MD5.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from icfqueue import deposit, gitannex, metadata
from icfqueue.errors import UsageError
from icfqueue.store import Store
from icfqueue.visit import Visit, check_id

TAIL = 400
"""Characters of a failed command's last words that are shown."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found for one visit."""

    visit: Visit
    good: bool
    words: str


class _NotProvenError(Exception):
    """The deposit does not give back what it promises."""


def deposits(store: Store, project: str, names: Sequence[str]) -> list[Visit]:
    """Return the visits to verify: those named, or all that have a deposit.

    Raises
    ------
    UsageError
        There is none.
    """
    folder = store.project_dir(check_id(project, "project"))
    if names:
        return [Visit(project, name) for name in names]
    suffix = "_XDLRA--refs"
    found = [
        Visit(project, path.name.removesuffix(suffix)) for path in folder.glob(f"*{suffix}")
    ]
    if not found:
        raise UsageError(
            f"no deposits in {folder}", hint="is --store-dir right, and was anything done?"
        )
    return sorted(found)


def verify(store: Store, visit: Visit, sample: int) -> Proof:
    """Prove one deposit.

    Parameters
    ----------
    sample
        How many images to get; 0 only clones and checks.
    """
    if deposit.read(store, visit) is None:
        return Proof(visit, good=False, words="there is no whole deposit")
    folder = Path(tempfile.mkdtemp(prefix="icfqueue-verify-"))
    try:
        words = _prove(store, visit, folder, sample, _environment())
        return Proof(visit, good=True, words=words)
    except _NotProvenError as error:
        return Proof(visit, good=False, words=str(error))
    finally:
        _remove(folder)


def _prove(
    store: Store, visit: Visit, folder: Path, sample: int, environment: dict[str, str]
) -> str:
    """Clone, check, get and compare; return what was proven."""
    clone = folder / "clone"
    # Cloned from the folder, as it lies here: what users see once it is served.
    url = deposit.clone_url(store.root.as_uri(), visit)
    _call("clone", ["datalad", "clone", url, str(clone)], folder, environment)
    _call("git annex fsck --fast", ["git", "annex", "fsck", "--fast"], clone, environment)
    promised = _promised(clone, environment)
    if (recorded := _recorded(store, visit)) and recorded != set(promised):
        raise _NotProvenError("the dataset's files are not those of the metadata")
    chosen = random.sample(sorted(promised), min(sample, len(promised)))
    for path in chosen:
        _call(f"datalad get {path!r}", ["datalad", "get", "--", path], clone, environment)
        found = hashlib.md5((clone / path).read_bytes()).hexdigest()
        if found != promised[path]:
            raise _NotProvenError(f"{path!r} has MD5 {found}, promised is {promised[path]}")
    return f"{len(promised)} DICOMs promised, {len(chosen)} got back with the right MD5"


def _promised(clone: Path, environment: dict[str, str]) -> dict[str, str]:
    """Return path to MD5 of every DICOM in the clone."""
    lines = _call(
        "git annex find",
        ["git", "annex", "find", "--anything", "--json"],
        clone,
        environment,
    )
    files = (json.loads(line) for line in lines.splitlines())
    return {
        found["file"]: found["key"].partition("--")[2].partition(".")[0]
        for found in files
        if not found["file"].startswith("icf/")
    }


def _recorded(store: Store, visit: Visit) -> set[str]:
    if metadata.read_tarball(store, visit) is None:
        return set()
    return {str(found["path"]) for found in metadata.read_dicoms(store, visit)}


def _call(what: str, command: list[str], folder: Path, environment: dict[str, str]) -> str:
    """Run a command as a user would; return what it printed."""
    done = subprocess.run(
        [gitannex.find_program(command[0]), *command[1:]],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr or done.stdout).decode(errors="replace").strip()[-TAIL:]
        raise _NotProvenError(f"{what} fails: {last}")
    return done.stdout.decode(errors="surrogateescape")


def _environment() -> dict[str, str]:
    """Return the user's environment, in which DataLad asks nothing and finds its own."""
    environment = {
        **os.environ,
        "PATH": gitannex.search_path(),
        "DATALAD_UI_PROGRESSBAR": "none",
        "DATALAD_LOG_LEVEL": "error",
        "GIT_TERMINAL_PROMPT": "0",
    }
    for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
        environment.setdefault(f"{name}_NAME", "icfqueue verify")
        environment.setdefault(f"{name}_EMAIL", "verify@icfqueue.invalid")
    return environment


def _remove(folder: Path) -> None:
    # git-annex protects what it has got against deletion.
    for place, folders, _ in os.walk(folder):
        for name in folders:
            (Path(place) / name).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
