"""What icfqueue needs, looked at where it will run: a finding and a remedy for each."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import redis

from icfqueue.broker import aside, connection, refusals
from icfqueue.broker.embedded import EmbeddedServer
from icfqueue.core.errors import (
    IcfqueueError,
    NewerLayout,
    NotInStore,
    StepError,
    Unreachable,
)
from icfqueue.core.plain_text import size
from icfqueue.core.processes.groups import without_secrets
from icfqueue.core.settings import Settings
from icfqueue.dataset import programs
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.operations.status import unreadable
from icfqueue.overview import fleet
from icfqueue.remote import quiet_datalad
from icfqueue.store.beneath import sharing
from icfqueue.store.directory import Store

SPECIAL_REMOTES = ("git-annex-remote-uncurl", "git-annex-remote-archivist")
NOTES = 10
"""Strange messages that are shown."""

OLDEST_GIT = (2, 28)
"""``git init --initial-branch``, and what DataLad asks for."""

NETWORK_TYPES = {"nfs", "nfs4", "lustre", "gpfs", "beegfs", "ceph", "cifs", "fuse.sshfs"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of ``icfqueue doctor``.

    Attributes
    ----------
    bad
        Work cannot be done like this.
    note
        Worth knowing, but no fault.
    exit_code
        What a bad finding makes the command end with.
    """

    what: str
    found: str
    remedy: str = ""
    bad: bool = False
    note: bool = False
    exit_code: int = 1


def examine(settings: Settings, project: str | None = None) -> Iterator[Finding]:
    """Yield a finding for each thing that is needed.

    Parameters
    ----------
    project
        Also list this project at the store URL, which tries the credential.
    """
    checks: dict[str, Callable[[], Finding]] = {
        "git": _git,
        "git-annex": _git_annex,
        "DataLad": _datalad,
        "broker": lambda: _broker(settings),
        "records": lambda: _records(settings),
        "strange messages": lambda: _strange(settings),
        "store directory": lambda: _store_dir(settings),
        "shared by workers": lambda: _shared(settings),
        "credential": lambda: _credential(settings),
        "store URL": lambda: _store_url(settings, project),
    }
    for name, check in checks.items():
        try:
            yield check()
        except IcfqueueError as error:
            yield Finding(
                name,
                error.message,
                # It is what runs.
                error.hint.removesuffix(refusals.LOOK),
                bad=True,
                exit_code=error.exit_code,
            )
    yield from _umask(settings)


def examine_fleet(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each thing in which the workers that live could differ.

    Raises
    ------
    Unreachable
        The broker does not answer.
    """
    with _opened(settings) as (client, _):
        ledger = RedisLedger(client)
        ledger.check_layout()
        signs = ledger.roster.signs()
    for trait in fleet.compare(signs, settings.keep_free):
        yield Finding(trait.what, trait.found, trait.remedy, trait.bad, trait.note)


def _git() -> Finding:
    words = _first_line(["git", "version"])
    numbers = [part for part in words.split(" ")[2].split(".") if part.isdigit()]
    if tuple(int(part) for part in numbers[:2]) < OLDEST_GIT:
        return Finding("git", words, "git 2.28 or newer is needed", bad=True)
    return Finding("git", words)


def _git_annex() -> Finding:
    return Finding("git-annex", _first_line(["git-annex", "version"]))


def _datalad() -> Finding:
    names = ("datalad", "datalad-next", "datalad-catalog")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    missing = [
        name
        for name in SPECIAL_REMOTES
        if shutil.which(name, path=programs.search_path()) is None
    ]
    if missing:
        return Finding(
            "DataLad", f"{', '.join(missing)} not found", "reinstall datalad-next", bad=True
        )
    return Finding("DataLad", versions)


@contextmanager
def _opened(settings: Settings) -> Iterator[tuple[redis.Redis, str]]:
    """Yield a connection to the broker, and what is to be shown of it."""
    address = connection.configured(settings)
    with ExitStack() as opened:
        where = address.shown if address else ""
        if address is None:
            server = opened.enter_context(EmbeddedServer(settings.store_dir))
            address, where = server.broker, f"embedded, {server.folder}"
        yield opened.enter_context(address.check()), where


def _broker(settings: Settings) -> Finding:
    with _opened(settings) as (client, where):
        if refused := refusals.refused_writes(client):
            found = f"{where}: it {refused.found}"
            return Finding("broker", found, refused.remedy, bad=True, exit_code=3)
        try:
            info: Any = client.info()
            wrong = connection.faults(client)
        except redis.RedisError as error:
            return Finding(
                "broker",
                f"{where} answers, but not to INFO ({type(error).__name__})",
                "the user of the broker needs the INFO command",
                note=True,
            )
    if connection.configured(settings) is None:
        version = info.get("valkey_version", "?")
        return Finding("broker", where.replace(",", f", Valkey {version},", 1))
    if wrong:
        found = "; ".join(fault for fault, _ in wrong)
        remedy = "; ".join(cure for _, cure in wrong)
        return Finding(
            "broker", f"{where}: {found}", f"{remedy} (ops/valkey/valkey.conf)", bad=True
        )
    return Finding("broker", f"{where} answers, keeps its data")


def _strange(settings: Settings) -> Finding:
    """Tell of what lay in the queues and was none of ours."""
    try:
        with _opened(settings) as (client, _):
            count, notes = aside.notes(client)
    except (redis.RedisError, Unreachable):
        return Finding("strange messages", "the broker cannot be asked", note=True)
    if not count:
        return Finding("strange messages", "none was put aside")
    lines = [
        f"\n      {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(note.when))} UTC, "
        f"{note.queue}, {note.size} bytes, {note.why}: "
        f"{note.first}"
        for note in notes[:NOTES]
    ]
    return Finding(
        "strange messages",
        f"{count} put aside, for none is icfqueue's; the latest:{''.join(lines)}",
        "somebody else writes to this broker: give it a password and users of its own "
        "(ops/valkey/users.acl)",
        note=True,
    )


def _records(settings: Settings) -> Finding:
    try:
        with _opened(settings) as (client, _):
            ledger = RedisLedger(client)
            ledger.check_layout()
            found = [one for name in ledger.projects() for one in unreadable(ledger, name)]
    except NewerLayout:
        raise
    except Unreachable:
        # That was said already.
        return Finding("records", "not read: the broker does not answer", note=True)
    if not found:
        return Finding("records", "all can be read")
    first = found[0]
    return Finding(
        "records",
        f"{len(found)} cannot be read; {first.visit}: {first.why}",
        first.hint
        or f"'icfqueue reconcile {first.visit.project}', or 'icfqueue forget "
        f"{first.visit.project} {first.visit.id}'",
        bad=True,
    )


def _store_dir(settings: Settings) -> Finding:
    store = Store(settings.store_dir)
    store.check_is_there()
    try:
        with tempfile.TemporaryFile(dir=store.root) as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return Finding(
            "store directory",
            f"{store.root} cannot be written: {error.strerror}",
            "its owner must let you write; is it mounted read-only?",
            bad=True,
        )
    room = store.room()
    found = f"{store.root} can be written, {size(room)} free"
    if room < max(settings.keep_free, 1):
        return Finding(
            "store directory",
            f"{found}, of which {size(settings.keep_free)} are to stay so: nothing is "
            "downloaded",
            f"make room there, or lower the setting keep_free: `du -xh -d 2 "
            f"{shlex.quote(str(store.root))} | sort -h | tail` shows what is large",
            bad=True,
        )
    return Finding("store directory", found)


def _shared(settings: Settings) -> Finding:
    root = Store(settings.store_dir).root
    kind = _file_system(root)
    if connection.configured(settings) is None:
        return Finding(
            "shared by workers",
            f"{root} ({kind}); with the embedded broker all workers are on this machine, "
            f"{socket.gethostname()}",
            "workers on other machines need a broker of their own: --broker",
            note=True,
        )
    if kind in NETWORK_TYPES:
        return Finding("shared by workers", f"{root} is on {kind}")
    return Finding(
        "shared by workers",
        f"{root} is on {kind}, which other machines may not see",
        "all workers must see the same files under their --store-dir",
        note=True,
    )


def _umask(settings: Settings) -> Iterator[Finding]:
    """Yield a finding if the umask takes rights from the group that shares the store."""
    root = Store(settings.store_dir).root
    if taken := sharing.taken_by_umask(root):
        yield Finding(
            "umask",
            f"{sharing.UMASK:03o} takes rights from the group that may write in {root}: "
            f"{taken}",
            f"{sharing.umask_remedy()} (what the workers make is the group's all the same; "
            "what else is copied there is not)",
            note=True,
        )


def _file_system(path: Path) -> str:
    """Return the type of the file system that `path` is on, as ``/proc/mounts`` says."""
    best = ("", "unknown")
    try:
        lines = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return best[1]
    for line in lines:
        _, place, kind, *_ = line.split(" ")
        if path.is_relative_to(place) and len(place) >= len(best[0]):
            best = (place, kind)
    return best[1]


def _credential(settings: Settings) -> Finding:
    name = settings.credential
    if name is None:
        return Finding(
            "credential",
            "none named; DataLad chooses by the store's realm",
            "name one with --credential if there are several",
            note=True,
        )
    quiet_datalad.prepare()
    from datalad.config import ConfigManager

    from icfqueue.remote.login import silent_manager

    found = silent_manager(ConfigManager()).get(name=name)
    if found and found.get("secret"):
        return Finding("credential", f"{name} is known to DataLad")
    return Finding(
        "credential",
        f"{name} is not known to DataLad, or has no secret",
        f"datalad credentials set {name} type=user_password user=… (asks for the secret)",
        bad=True,
    )


def _store_url(settings: Settings, project: str | None) -> Finding:
    from icfqueue.remote.client import RemoteStore

    url = settings.store_url
    with RemoteStore.of(settings) as remote:
        if project is not None:
            try:
                count = len(remote.visits(project))
            except NotInStore as error:
                return Finding(
                    "store URL",
                    f"the store has no project {project}: {error.message}",
                    "check the project's name, and --store-url",
                    bad=True,
                )
            words = "1 visit" if count == 1 else f"{count} visits"
            return Finding("store URL", f"{url}/{project} lists {words}")
        try:
            return Finding("store URL", f"{url} answers ({remote.knock()})")
        except StepError as error:
            return Finding(
                "store URL",
                error.message,
                f"{error.hint or 'is the address right?'} (it is needed for downloads, and "
                "by those who clone)",
                bad=True,
                exit_code=3,
            )


def _first_line(command: list[str]) -> str:
    program = programs.find_program(command[0])
    done = subprocess.run(
        [program, *command[1:]],
        env=without_secrets(os.environ),
        capture_output=True,
        check=False,
        text=True,
    )
    return (done.stdout or done.stderr).partition("\n")[0]
