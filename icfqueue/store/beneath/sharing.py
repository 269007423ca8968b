"""Who of the group may do what: by the store directory's own mode, whatever the umask.

Workers of several users share one store if its directory lets the group write. What a
worker makes there is the group's, too, and each worker may have another umask: 002 by a
login shell, 022 by a batch system or a service. So the umask decides about the owner
and all others, and about the group only where the store directory does not share.
"""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import stat
from pathlib import Path


def _umask() -> int:
    # The only portable way to read it is to set it; done once, at import, before any
    # thread could create a file in between.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


UMASK = _umask()
"""The umask of this process."""


def shared_mode(of_root: os.stat_result, found: os.stat_result, mode: int) -> int:
    """Return the mode that a file or folder in the store is to have.

    Parameters
    ----------
    of_root
        The store directory's own.
    found
        What the file or folder has.
    mode
        What it could have without any umask: 0o666 or 0o777.
    """
    # Never for everybody, even without a umask: work folders would not be used.
    wanted = mode & ~UMASK & ~stat.S_IWOTH
    setgid = found.st_mode
    if of_root.st_mode & stat.S_IWGRP:
        wanted |= mode & of_root.st_mode & stat.S_IRWXG
        setgid |= of_root.st_mode
    # What a folder below a setgid folder inherits: the group for all in it.
    return wanted | (setgid & stat.S_ISGID if stat.S_ISDIR(found.st_mode) else 0)


def taken_by_umask(root: Path) -> str:
    """Return the rights that the umask takes from a group which may write in the store.

    In words, with commas; empty if it takes none, or the store directory shares nothing.
    """
    try:
        mode = root.stat().st_mode
    except OSError:
        return ""
    taken = UMASK & mode & stat.S_IRWXG
    if not mode & stat.S_IWGRP or not taken:
        return ""
    rights = ((stat.S_IRGRP, "read"), (stat.S_IWGRP, "write"), (stat.S_IXGRP, "enter"))
    return ", ".join(word for bit, word in rights if taken & bit)


def umask_remedy() -> str:
    """Return the command that has the umask leave the group its rights."""
    return f"umask {UMASK & ~stat.S_IRWXG:03o}"


def remedy(path: Path, hidden: str) -> str | None:
    """Return what gives the group its rights below a work folder; None if it is none.

    Parameters
    ----------
    path
        What could not be used, by its path in the store.
    hidden
        Name of the folder of all work folders.
    """
    if hidden not in path.parts:
        return None
    start = path.parts.index(hidden) + 1
    places = [Path(*path.parts[:end]) for end in range(start, len(path.parts) + 1)]
    for place in places:
        try:
            found = place.lstat()
        except OSError:
            continue
        folder = stat.S_ISDIR(found.st_mode)
        wanted = os.R_OK | os.W_OK | (os.X_OK if folder else 0)
        if not os.access(place, wanted, effective_ids=True):
            return _words(place, places[0].parent, found)
    return None


def _words(place: Path, above: Path, found: os.stat_result) -> str:
    """Return whose `place` is, and the command that mends it."""
    owner, group = user_name(found.st_uid), _group(found.st_gid)
    quoted = shlex.quote(str(place))
    rights = "g+rwxs" if stat.S_ISDIR(found.st_mode) else "g+rw"
    command = f"chmod {rights} {quoted}"
    wanted = above.stat().st_gid
    if found.st_gid != wanted:
        command = f"chgrp {_group(wanted)} {quoted} && {command}"
    return (
        f"{place} belongs to user {owner} and group {group} with the mode "
        f"{stat.filemode(found.st_mode)}. As {owner} or root: {command}"
    )


def user_name(number: int) -> str:
    """Return a user's name, or the number: no name may be known on this machine."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
