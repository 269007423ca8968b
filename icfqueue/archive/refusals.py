"""What stands in the way of a tarball: counted by kind, the first of each named."""

from __future__ import annotations

from dataclasses import dataclass

from icfqueue.core.errors import BadFolder
from icfqueue.tarball.header import shown


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault.

    Attributes
    ----------
    what
        What is wrong, in words that follow the number of files.
    remedy
        What to do about it.
    """

    what: str
    remedy: str


LINK = Kind(
    "a symbolic link",
    "remove the links, or give a copy with what they lead to (cp -rL)",
)
SPECIAL = Kind("a pipe, socket or device", "remove what is no file")
UNREADABLE = Kind("not to be read", "have this user read all of it: look at owner and mode")
DOUBLED = Kind(
    "in two of the folders under the same name",
    "give the folder above them, so that their own names tell them apart",
)
CHANGING = Kind("changed meanwhile", "wait until the folder is complete, then try again")


def bad_name(why: str) -> Kind:
    """Return the kind of files whose path a dataset could not have, for this reason."""
    return Kind(why, "rename them")


class Refusals:
    """Counts faults as they are found, so that one message has them all.

    Parameters
    ----------
    what
        What cannot be made, for the message.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._found: dict[Kind, tuple[int, str]] = {}

    def add(self, kind: Kind, path: str) -> None:
        """Count a fault.

        Parameters
        ----------
        path
            Of the file or folder, as a person finds it.
        """
        count, first = self._found.get(kind, (0, path))
        self._found[kind] = (count + 1, min(first, path))

    def raise_if_any(self) -> None:
        """Raise if there was a fault.

        Raises
        ------
        BadFolder
            With how many of each kind, and one of them.
        """
        if not self._found:
            return
        # A file system lists in any order.
        found = sorted(self._found.items(), key=lambda one: one[0].what)
        lines = [
            f"{count} \N{MULTIPLICATION SIGN} {kind.what}: {shown(first)}"
            for kind, (count, first) in found
        ]
        remedies = dict.fromkeys(kind.remedy for kind, _ in found)
        raise BadFolder(f"{self._what}: {'; '.join(lines)}", hint="; ".join(remedies))
