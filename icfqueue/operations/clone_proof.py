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
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from icfqueue.core.errors import UsageError
from icfqueue.core.visit import Visit
from icfqueue.dataset import programs
from icfqueue.outputs import deposit
from icfqueue.steps import write_json
from icfqueue.store.directory import Store

TAIL = 400
"""Characters of a failed command's last words that are shown."""

REDO = "icfqueue enqueue --force makes it anew"
LOOK = "can DataLad reach the store with this credential? icfqueue doctor"

OF_A_REPOSITORY = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
)
"""What ties git to one repository wherever it runs; hooks and aliases set it."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found for one visit."""

    visit: Visit
    good: bool
    words: str
    hint: str = ""


class _NotProvenError(Exception):
    """The deposit does not give back what it promises."""

    def __init__(self, words: str, hint: str = REDO) -> None:
        super().__init__(words)
        self.hint = hint


def verify(
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
        words = _prove(store, visit, folder, sample, _environment(login or {}))
        return Proof(visit, good=True, words=words)
    except _NotProvenError as error:
        return Proof(visit, good=False, words=str(error), hint=error.hint)
    finally:
        remove(folder)


def folder_of_its_own(prefix: str) -> Path:
    """Make a temporary folder that lies in no Git repository.

    datalad-next's helper for ``datalad-annex::`` runs ``git annex init`` on the
    repository around a clone that is being made (``GIT_CEILING_DIRECTORIES`` does not
    keep it from that), which would change the user's own.

    Raises
    ------
    UsageError
        There is none.
    """
    for base in dict.fromkeys((tempfile.gettempdir(), "/var/tmp", "/tmp", "/dev/shm")):  # noqa: S108 - mkdtemp is safe there
        if os.access(base, os.W_OK | os.X_OK) and not _in_repository(Path(base)):
            return Path(tempfile.mkdtemp(prefix=prefix, dir=base))
    raise UsageError(
        f"{tempfile.gettempdir()} lies in a Git repository, which a clone would change",
        hint="set TMPDIR to a folder that is in none",
    )


def _in_repository(folder: Path) -> bool:
    # Git itself does not tell of one that belongs to another user.
    whole = folder.resolve()
    if any((place / ".git").exists() for place in (whole, *whole.parents)):
        return True
    asked = subprocess.run(
        [programs.find_program("git"), "rev-parse", "--git-dir"],
        cwd=whole,
        env=without_repository(os.environ),
        capture_output=True,
        check=False,
    )
    return asked.returncode == 0


def without_repository(environment: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` without what ties git to one repository."""
    return {
        name: value for name, value in environment.items() if name not in OF_A_REPOSITORY
    }


def login_of(name: str | None, realm: str) -> dict[str, str]:
    """Return DataLad's configuration that makes it use the credential `name`.

    DataLad itself chooses a credential by realm, the last used one first; ``datalad
    get`` cannot be told a name.

    Parameters
    ----------
    realm
        What the store asked for, as :class:`~icfqueue.remote.login.StoreLogin` notes it.
        Without one no credential is needed.
    """
    if name is None or not realm:
        return {}
    from datalad_next.config import ConfigManager

    from icfqueue.remote.login import no_prompt, silent_manager

    with no_prompt():
        found = silent_manager(ConfigManager()).get(name=name) or {}
    if not found.get("secret"):
        return {}
    used = {key: str(found[key]) for key in ("type", "user", "secret") if found.get(key)}
    used["realm"] = realm
    used["last-used"] = datetime.now(UTC).replace(tzinfo=None).isoformat()
    return {
        f"datalad.credential.{name}.{key}": value
        for key, value in ({"type": "user_password"} | used).items()
    }


def _prove(
    store: Store, visit: Visit, folder: Path, sample: int, environment: dict[str, str]
) -> str:
    """Clone, check, get and compare; return what was proven."""
    clone = folder / "clone"
    # Cloned from the folder, as it lies here: what users see once it is served.
    url = deposit.clone_url(store.root.as_uri(), visit)
    command = ["datalad", "clone", url, str(clone)]
    _call("clone", command, folder, environment, LOOK)
    _call("git annex fsck --fast", ["git", "annex", "fsck", "--fast"], clone, environment)
    promised = _promised(clone, environment)
    if (recorded := _recorded(store, visit)) and recorded != set(promised):
        raise _NotProvenError("the dataset's files are not those of the metadata")
    chosen = random.sample(sorted(promised), min(sample, len(promised)))
    for path in chosen:
        command = ["datalad", "get", "--", path]
        _call(f"datalad get {path!r}", command, clone, environment, LOOK)
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
    if write_json.read_tarball(store, visit) is None:
        return set()
    return {str(found["path"]) for found in write_json.read_dicoms(store, visit)}


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


def _environment(login: Mapping[str, str]) -> dict[str, str]:
    """Return the user's environment, in which DataLad asks nothing and finds its own."""
    environment = {
        **without_repository(os.environ),
        "PATH": programs.search_path(),
        "DATALAD_UI_PROGRESSBAR": "none",
        "DATALAD_LOG_LEVEL": "error",
        "GIT_TERMINAL_PROMPT": "0",
    }
    for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
        environment.setdefault(f"{name}_NAME", "icfqueue verify")
        environment.setdefault(f"{name}_EMAIL", "verify@icfqueue.invalid")
    if login:
        # By the environment, which no other user reads.
        given = json.loads(environment.get("DATALAD_CONFIG_OVERRIDES_JSON") or "{}")
        environment["DATALAD_CONFIG_OVERRIDES_JSON"] = json.dumps(given | dict(login))
    return environment


def remove(folder: Path) -> None:
    """Remove a folder with clones, which git-annex protects against deletion."""
    for place, folders, _ in os.walk(folder):
        for name in folders:
            path = Path(place) / name
            if not path.is_symlink():
                path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
