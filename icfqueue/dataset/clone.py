"""Clones of a dataset as a scientist makes them: where they may lie, how they log in."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from icfqueue.core.errors import UsageError
from icfqueue.core.processes.groups import without_secrets
from icfqueue.dataset import programs
from icfqueue.remote import quiet_datalad

OF_A_REPOSITORY = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
)
"""What ties git to one repository wherever it runs; hooks and aliases set it."""


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
        if os.access(base, os.W_OK | os.X_OK) and not in_repository(Path(base)):
            return Path(tempfile.mkdtemp(prefix=prefix, dir=base))
    raise UsageError(
        f"{tempfile.gettempdir()} lies in a Git repository, which a clone would change",
        hint="set TMPDIR to a folder that is in none",
    )


def in_repository(folder: Path) -> bool:
    """Return whether `folder` lies in a Git repository, anybody's."""
    # Git itself does not tell of one that belongs to another user.
    whole = folder.resolve()
    if any((place / ".git").exists() for place in (whole, *whole.parents)):
        return True
    asked = subprocess.run(
        [programs.find_program("git"), "rev-parse", "--git-dir"],
        cwd=whole,
        env=without_repository(without_secrets(os.environ)),
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
    quiet_datalad.prepare()
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


def remove(folder: Path) -> None:
    """Remove a folder with clones, which git-annex protects against deletion."""
    for place, folders, _ in os.walk(folder):
        for name in folders:
            path = Path(place) / name
            if not path.is_symlink():
                path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
