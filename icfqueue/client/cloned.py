"""What git says of a clone, and where its images come from."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from icfqueue.core.errors import UsageError
from icfqueue.dataset import programs
from icfqueue.dataset.clone import without_repository
from icfqueue.remote import quiet_datalad

_ADDRESS = re.compile(r"https?://[^\s&\"]+")


def images_from(dataset: Path) -> str:
    """Return the folder on the web which a clone names for its images; "" for none.

    That of a visit names its tarball, and that of a project the datasets of its visits,
    which lie beside their tarballs. Nobody is asked whether it is there: the clone may be
    one of a store directory here.
    """
    # Tarballs are URLs in git-annex' branch (git-annex' internals, "*.log.web").
    web = ("-h", "-e", r"https\?://")
    for branch in ("git-annex", "origin/git-annex"):
        said = run_git(dataset, "grep", *web, branch, "--", "*.log.web", good=(0, 1, 128))
        if found := _ADDRESS.search(said):
            return found[0].rpartition("/")[0]
    if not (dataset / ".gitmodules").is_file():
        return ""
    names = ("--get-regexp", r"^submodule\..*\.url$")
    said = run_git(dataset, "config", "--file", ".gitmodules", *names, good=(0, 1))
    found = _ADDRESS.search(said)
    return found[0].rpartition("/")[0] if found else ""


def run_git(dataset: Path, *args: str, good: tuple[int, ...] = (0,)) -> str:
    """Return what git says in a dataset; no secret is in its environment.

    Raises
    ------
    UsageError
        It fails: its exit code is none of `good`.
    """
    done = subprocess.run(
        [programs.find_program("git"), "-C", str(dataset), *args],
        env=environment_of(quiet_datalad.without_login(os.environ)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in good:
        raise UsageError(
            f"git {args[0]} fails in {dataset}: {done.stderr.strip()[-200:]}",
            hint="is it a dataset, and is it yours?",
        )
    return done.stdout


def environment_of(told: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for programs that work on a clone."""
    return {**without_repository(told), "PATH": programs.search_path()}
