"""Clones of a store's datasets, made as a scientist wants them: with range access on.

A clone is made by DataLad. What is added here: a look whether there is a deposit at all
(DataLad makes an empty dataset of a mistyped name), and the setting by which git-annex
starts ``git-annex-remote-icfrange`` for the remote ``archivist``, in the clone and in
what is later obtained below it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from icfqueue.client import misspelt
from icfqueue.client.cloned import environment_of, run_git
from icfqueue.core.errors import (
    AccessDenied,
    IcfqueueError,
    NotInStore,
    UsageError,
)
from icfqueue.core.plain_text import shown
from icfqueue.core.visit import Visit, check_id
from icfqueue.dataset import programs
from icfqueue.dataset.branches import ARCHIVIST
from icfqueue.dataset.clone import in_repository, login_of
from icfqueue.outputs.deposit import HEAD, PLACEHOLDER, REFS, clone_url, parse_refs
from icfqueue.remote import quiet_datalad
from icfqueue.remote.client import RemoteStore

EXTERNAL = "icfrange"
"""The program is ``git-annex-remote-`` and this name."""

SETTING = "remote.archivist.annex-externaltype"
"""Makes git-annex start another program for the remote ``archivist`` of a clone.

Source: https://git-annex.branchable.com/git-annex/ (``remote.<name>.annex-externaltype``).
"""

ENABLED = "remote.archivist.annex-uuid"
"""What a clone has for the remote ``archivist`` once git-annex has enabled it.

Without it :data:`SETTING` would be half a remote, which DataLad lists as a broken one.

Source: https://git-annex.branchable.com/git-annex/ (``remote.<name>.annex-uuid``).
"""

HOOK = "datalad.result-hook.icfrange"
"""DataLad runs it after each dataset that it has installed below another one.

It stands in the user's own configuration: that of a dataset counts for DataLad only if a
command names the dataset by ``-d``. It changes nothing but a dataset that lies in one
with range access.

Source: DataLad's documentation of result hooks (``datalad.result-hook.<name>.…``).
"""

MARK = "icfqueue.range"
"""Set in a dataset, it has the hook switch on what is installed below it."""

MODULES = ".gitmodules"
"""The file by which a dataset has others below it (gitmodules(5))."""

_MATCH = {"type": "dataset", "action": "install", "status": "ok"}
_FOLLOW = f"""test "$(git -C .. config --local {MARK})" = on || exit 0
if git config --local {ENABLED} >/dev/null; then git config {SETTING} {EXTERNAL}; fi
if test -e {MODULES}; then git config {MARK} on; fi
"""
_CALL = {
    "dataset": "{path}",
    "cmd": ["sh", "-c", _FOLLOW],
    "cmd_type": "external",
    "output_streams": "capture",
    "result_renderer": "disabled",
}

_OVERRIDES = "DATALAD_CONFIG_OVERRIDES_JSON"

_NAME = re.compile(r"\w[\w.+-]*")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A dataset to be cloned.

    Attributes
    ----------
    url
        For ``datalad clone``.
    name
        Name of the folder, unless another one is given.
    login
        DataLad's configuration of a credential that was named.
    """

    url: str
    name: str
    login: Mapping[str, str] = field(default_factory=dict, repr=False)


def wanted_dataset(
    remote: RemoteStore, project: str, visit: str | None, credential: str | None = None
) -> Wanted:
    """Return what to clone for a visit, or for a whole project.

    Parameters
    ----------
    credential
        Name of the DataLad credential that `remote` has, if it was named.

    Raises
    ------
    BadId
        One of the names may not become a path.
    UsageError
        The store has no such deposit; names what is almost called so.
    AccessDenied, Unreachable
        The store refuses, or does not answer.
    """
    check_id(project, "project")
    if visit is None:
        url = clone_url(remote.url, project)
        refs = f"{project}/{REFS}"
    else:
        subject = Visit(project, visit)
        url = clone_url(remote.url, subject)
        refs = f"{project}/{subject.refs}"
    try:
        text = _text(remote, refs, credential)
    except NotInStore:
        raise UsageError(
            f"the store {remote.url} has no dataset of {project}"
            + (f"/{visit}" if visit else " as a whole"),
            hint=misspelt.hint_of(remote, project, visit),
        ) from None
    _check_refs(text, f"{remote.url}/{refs}")
    return Wanted(url, visit or project, login_of(credential, remote.realm))


def wanted_url(url: str, credential: str | None) -> Wanted:
    """Return what to clone for a URL as ``datalad clone`` takes it.

    One of another kind than a deposit's is DataLad's own affair.

    Raises
    ------
    UsageError
        There is no deposit.
    AccessDenied, Unreachable
        The store refuses, or does not answer.
    """
    where = re.search(r"(?:\?|&)url=([^&]+)", url)
    if not url.startswith("datalad-annex::") or where is None:
        name = Path(urlsplit(url).path).name
        return Wanted(url, name if _NAME.fullmatch(name) else "clone")
    pattern = unquote(where[1])
    name = re.sub(r"_?\{\{?annex_key\}?\}$", "", pattern).rstrip("/").rpartition("/")[2]
    if not pattern.startswith(("http://", "https://")):
        return Wanted(url, name)
    base, _, last = pattern.rpartition("/")
    refs = last.replace(PLACEHOLDER, REFS)
    with RemoteStore(base, credential) as remote:
        try:
            text = _text(remote, refs, credential)
        except NotInStore:
            raise UsageError(
                f"there is no dataset at {base}/{refs}",
                hint="DataLad would make an empty one; look at the address",
            ) from None
    _check_refs(text, f"{base}/{refs}")
    return Wanted(url, name, login_of(credential, remote.realm))


def project_of(url: str) -> tuple[str, str] | None:
    """Return store URL and project of the URL of a whole project's deposit, else None."""
    where = re.search(r"(?:\?|&)url=([^&]+)", url)
    if not url.startswith("datalad-annex::") or where is None:
        return None
    found = re.fullmatch(r"(.+)/([^/]+)/\{\{?annex_key\}?\}", unquote(where[1]))
    return (found[1], found[2]) if found else None


def clone(wanted: Wanted, target: Path, *, quiet: bool = False) -> bool:
    """Clone a dataset into the folder `target`, and switch range access on.

    Parameters
    ----------
    quiet
        Have DataLad say nothing but warnings and errors.

    Returns
    -------
    bool
        Whether range access is on: not in a dataset that has no use for it, of which
        only an address can be given.

    Raises
    ------
    UsageError
        Something is there already, or it lies in a Git repository, which DataLad's
        helper would change; or git-annex would not find our program.
    IcfqueueError
        DataLad failed; it has said why.
    """
    _check_program()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} is there already", hint="name another folder")
    parent = target.absolute().parent
    if not parent.is_dir():
        raise UsageError(f"{parent} is not there", hint="make it, or name another folder")
    if in_repository(parent):
        raise UsageError(
            f"{parent} lies in a Git repository, which the making of a clone would change",
            hint="clone into a folder that is in none",
        )
    told: dict[str, str] = dict(wanted.login)
    less = []
    if quiet:
        less = ["--log-level", "warning"]
        told["datalad.ui.progressbar"] = "none"
    command = [programs.find_program("datalad"), *less, "clone", wanted.url, str(target)]
    environment = environment_of(quiet_datalad.with_login(os.environ, told))
    # Its results go to standard output, those that are errors, too.
    out = subprocess.PIPE if quiet else None
    done = subprocess.run(command, env=environment, stdout=out, text=True, check=False)
    if done.returncode:
        said = f": {done.stdout.strip()[:400]}" if done.stdout else ""
        raise IcfqueueError(
            f"DataLad could not clone {wanted.name}{said}",
            hint="what it said stands above; `icfqueue doctor` looks for the usual causes",
        )
    return bool(_switch_on(target))


def switch_on(dataset: Path) -> list[Path]:
    """Have single images read by range, in a dataset and all that is installed below it.

    Returns
    -------
    list of Path
        The datasets that were switched: those with a remote ``archivist``, and those
        with others below them, which are to follow.

    Raises
    ------
    UsageError
        It is no dataset with images in tarballs, or git-annex would not find the program.
    """
    _check_program()
    switched = _switch_on(dataset)
    if not switched:
        raise UsageError(
            f"{dataset} has no remote 'archivist' and no datasets below it",
            hint="name the clone of a visit or of a project",
        )
    return switched


def _switch_on(dataset: Path) -> list[Path]:
    """Switch on what can be, in a dataset and those below it; return which it was."""
    switched = []
    for one in list(_datasets(dataset)):
        enabled, above = _is_enabled(one), (one / MODULES).exists()
        if enabled:
            run_git(one, "config", SETTING, EXTERNAL)
        if above:
            run_git(one, "config", MARK, "on")
            _set_hook(one)
        if enabled or above:
            switched.append(one)
    return switched


def switch_off(dataset: Path) -> list[Path]:
    """Let the archivist do all again, in a dataset and all that is installed below it.

    The hook stays, for other clones may need it.

    Returns
    -------
    list of Path
        The datasets, `dataset` first.

    Raises
    ------
    UsageError
        It is no dataset.
    """
    found = list(_datasets(dataset))
    for one in found:
        run_git(one, "config", "--unset-all", MARK, good=(0, 5))
        if not _is_enabled(one):
            # Half a remote, as an older release made it.
            run_git(one, "config", "--unset-all", SETTING, good=(0, 5))
        elif run_git(one, "config", SETTING, good=(0, 1)):
            # As git-annex had it when it enabled the remote.
            run_git(one, "config", SETTING, ARCHIVIST)
    return found


def _is_enabled(dataset: Path) -> bool:
    return bool(run_git(dataset, "config", "--local", ENABLED, good=(0, 1)))


def _set_hook(dataset: Path) -> None:
    # DataLad formats the text: its own braces are doubled, but for the path.
    text = json.dumps(_CALL).replace("{", "{{").replace("}", "}}")
    call = f"foreach_dataset {text.replace('{{path}}', '{path}')}"
    for name, value in (("match-json", json.dumps(_MATCH)), ("call-json", call)):
        run_git(dataset, "config", "--global", f"{HOOK}.{name}", value)


def _datasets(dataset: Path) -> Iterator[Path]:
    """Yield a dataset and every one that is installed below it."""
    if not dataset.is_dir() or not (dataset / ".datalad").is_dir():
        raise UsageError(
            f"{dataset} is no DataLad dataset", hint="name the folder of a clone"
        )
    yield dataset
    listed = run_git(dataset, "ls-files", "--stage", "-z")
    for line in listed.split("\0"):
        about, _, path = line.partition("\t")
        below = dataset / path
        # 160000 is the mode of a submodule (gitsubmodules(7)).
        if about.startswith("160000") and (below / ".git").exists():
            yield from _datasets(below)


def _check_program() -> None:
    name = f"git-annex-remote-{EXTERNAL}"
    if shutil.which(name) is None:
        place = shutil.which(name, path=programs.search_path())
        how = f'export PATH="{Path(place).parent}:$PATH"' if place else "install icfqueue"
        raise UsageError(
            f"git-annex would not find {name}: it is not in your PATH",
            hint=f"{how}; then the same command again",
        )


def _text(remote: RemoteStore, path: str, credential: str | None) -> str:
    """Return a small file of the store; a refusal comes with what a scientist can do."""
    try:
        return remote.text(path)
    except AccessDenied as error:
        name = shlex.quote(credential or "NAME")
        if error.forbidden:
            error.hint = "ask the store's data manager for access to this project"
        elif remote.realm:
            # Complete and to be pasted: DataLad finds it by the realm at each `get`.
            realm = shlex.quote(f"realm={shown(remote.realm)}")
            error.hint = (
                f"`datalad credentials set {name} type=user_password user=USER {realm}` "
                "asks for the password; then the same command again with --credential "
                f"{name}"
            )
        else:
            error.hint = "ask the store's data manager how to log in"
        raise


def _check_refs(text: str, where: str) -> None:
    try:
        if HEAD in parse_refs(text):
            return
    except ValueError:
        pass
    raise UsageError(
        f"{where} is no deposit: DataLad would make an empty dataset of it",
        hint="tell the store's data manager",
    )
