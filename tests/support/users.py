"""Work done as another user of a group, in a forked process.

Only root can become somebody else; without that, all is done as this user, which shows
the same of links, as they are refused whoever made them. This Python may lie where the
other user cannot read it: that one keeps the right to read whatever there is
(``CAP_DAC_READ_SEARCH``), and so might follow a link even where it ought not to be able to.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icfqueue.store.beneath import sharing

ROOT = os.getuid() == 0
GROUP = 61000 if ROOT else os.getgid()


@dataclass(frozen=True)
class User:
    """A member of the group that shares the store.

    Attributes
    ----------
    uid
        As the system knows the user; needs no name.
    umask
        What the user's files do not allow.
    """

    uid: int
    umask: int = 0o002


WORKER = User(61001 if ROOT else os.getuid())
OTHER_WORKER = User(61002 if ROOT else os.getuid())
INTRUDER = User(61003 if ROOT else os.getuid())


def run_as(user: User, work: Callable[[], Any]) -> Any:
    """Return what `work` returns, or raise what it raises, when `user` does it."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        answer: tuple[bool, Any]
        try:
            _become(user)
            answer = (True, work())
        except BaseException as error:  # noqa: BLE001 - handed to the parent
            traceback.print_exc()
            answer = (False, error)
        with open(writing, "wb") as out:
            out.write(pickle.dumps(answer))
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answers:
        content = answers.read()
    os.waitpid(pid, 0)
    good, found = pickle.loads(content)
    if not good:
        raise found
    return found


def _become(user: User) -> None:
    os.umask(user.umask)
    sharing.UMASK = user.umask
    if ROOT:
        os.setgroups([GROUP])
        os.setgid(GROUP)
        _prctl(PR_SET_KEEPCAPS, 1)
        os.setuid(user.uid)
        _keep(CAP_DAC_READ_SEARCH)


PR_SET_KEEPCAPS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 8, 47, 2
CAP_DAC_READ_SEARCH = 2
CAPABILITY_VERSION_3 = 0x20080522
_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(*words: int) -> None:
    if _libc.prctl(*(ctypes.c_ulong(word) for word in (*words, 0, 0, 0)[:5])):
        raise OSError(ctypes.get_errno(), "prctl")


def _keep(capability: int) -> None:
    """Have one capability and no other, also in programs that are started."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    bits = 1 << capability
    data = (ctypes.c_uint32 * 6)(bits, bits, bits, 0, 0, 0)
    if _libc.capset(header, data):
        raise OSError(ctypes.get_errno(), "capset")
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)


@contextmanager
def shared_folder() -> Iterator[Path]:
    """Yield a folder that every user may enter, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp(prefix="icfq-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def give(path: Path, user: User | None = None, mode: int | None = None) -> None:
    """Give a file or folder to the group, and to `user`."""
    if ROOT:
        os.chown(path, user.uid if user else -1, GROUP, follow_symlinks=False)
    if mode is not None:
        path.chmod(mode)
