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
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from icfqueue.core.visit import Visit
from icfqueue.dataset import programs
from icfqueue.dataset.clone import folder_of_its_own, remove, without_repository
from icfqueue.outputs import deposit, metadata_files
from icfqueue.remote import quiet_datalad
from icfqueue.store.directory import Store

TAIL = 400
"""Characters of a failed command's last words that are shown."""

REDO = "'icfqueue run PROJECT VISIT --force' makes it anew"
LOOK = (
    "can DataLad reach the store with this credential? 'icfqueue doctor --project PROJECT'"
)


@dataclass(frozen=True, slots=True)
class Proof:
    """The result for one visit."""

    visit: Visit
    good: bool
    words: str
    hint: str = ""


class _NotProvenError(Exception):
    """The deposit does not give back what it promises."""

    def __init__(self, words: str, hint: str = REDO) -> None:
        super().__init__(words)
        self.hint = hint


def prove(
    store: Store, visit: Visit, sample: int, login: Mapping[str, str] | None = None
) -> Proof:
    """Prove one deposit.

    Parameters
    ----------
    sample
        How many images to get; 0 only clones and checks.
    login
        DataLad's configuration of the credential to use (:func:`login_of`).

    Raises
    ------
    UsageError
        There is no folder for temporary files outside a Git repository.
    """
    if deposit.read(store, visit) is None:
        return Proof(visit, good=False, words="there is no whole deposit", hint=REDO)
    folder = folder_of_its_own("icfqueue-verify-")
    try:
        words = _prove(store, visit, folder, sample, login or {})
        return Proof(visit, good=True, words=words)
    except _NotProvenError as error:
        return Proof(visit, good=False, words=str(error), hint=error.hint)
    finally:
        remove(folder)


def _prove(
    store: Store, visit: Visit, folder: Path, sample: int, login: Mapping[str, str]
) -> str:
    """Clone, check, get and compare; return what was proven."""
    environment = _environment()
    clone = folder / "clone"
    # Cloned from its bytes as they lie here: what users see once they are served.
    served = folder / "served"
    _copy_deposit(store, visit, served)
    url = deposit.clone_url(served.as_uri(), visit)
    command = ["datalad", "clone", url, str(clone)]
    _call("clone", command, folder, environment, LOOK)
    _call("git annex fsck --fast", ["git", "annex", "fsck", "--fast"], clone, environment)
    promised = _promised(clone, environment)
    if (recorded := _recorded(store, visit)) and recorded != set(promised):
        raise _NotProvenError("the dataset's files are not those of the metadata")
    chosen = random.sample(sorted(promised), min(sample, len(promised)))
    for path in chosen:
        command = ["datalad", "get", "--", path]
        _call(f"datalad get {path!r}", command, clone, _environment_to_get(login), LOOK)
        found = hashlib.md5((clone / path).read_bytes()).hexdigest()
        if found != promised[path]:
            raise _NotProvenError(f"{path!r} has MD5 {found}, promised is {promised[path]}")
    return f"{len(promised)} DICOMs promised, {len(chosen)} got back with the right MD5"


def _copy_deposit(store: Store, visit: Visit, served: Path) -> None:
    """Copy both files of the deposit: DataLad would follow links in the store."""
    (served / visit.project).mkdir(parents=True)
    for name in (visit.refs, visit.repo_export):
        with (
            store.open_read(store.path(visit, name)) as source,
            (served / visit.project / name).open("wb") as target,
        ):
            shutil.copyfileobj(source, target, 1 << 20)


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
    if metadata_files.read_tarball(store, visit) is None:
        return set()
    return {str(found["path"]) for found in metadata_files.read_dicoms(store, visit)}


def _call(
    what: str,
    command: list[str],
    folder: Path,
    environment: dict[str, str],
    hint: str = REDO,
) -> str:
    """Run a command as a user would; return what it printed."""
    done = subprocess.run(
        [programs.find_program(command[0]), *command[1:]],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr or done.stdout).decode(errors="replace").strip()[-TAIL:]
        raise _NotProvenError(f"{what} fails: {last}", hint)
    return done.stdout.decode(errors="surrogateescape")


def _environment() -> dict[str, str]:
    """Return the user's environment, in which DataLad asks nothing and needs no log-in."""
    return _silent(quiet_datalad.without_login(os.environ))


def _environment_to_get(login: Mapping[str, str]) -> dict[str, str]:
    """Return the user's environment, in which DataLad asks nothing and finds its own.

    git-annex has it too then, for it starts the program that downloads.
    """
    return _silent(quiet_datalad.with_login(os.environ, login))


def _silent(told: Mapping[str, str]) -> dict[str, str]:
    environment = {
        **without_repository(told),
        "PATH": programs.search_path(),
        "DATALAD_UI_PROGRESSBAR": "none",
        "DATALAD_LOG_LEVEL": "error",
        "GIT_TERMINAL_PROMPT": "0",
    }
    for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
        environment.setdefault(f"{name}_NAME", "icfqueue verify")
        environment.setdefault(f"{name}_EMAIL", "verify@icfqueue.invalid")
    return environment
