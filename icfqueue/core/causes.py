"""Why visits fail, as short codes: an interface, for scripts and for whoever counts.

Each error of a step has one (:attr:`icfqueue.core.errors.StepError.cause`). What was
found in this visit stands in the error's message; here stands what is common to all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause of failures.

    Attributes
    ----------
    meaning
        What is wrong, in a few words.
    remedy
        What to do about visits that failed so, in a few words.
    """

    meaning: str
    remedy: str


class Words(TypedDict, total=False):
    """What each error of a step may be told beside its message."""

    hint: str | None
    cause: str | None


UNKNOWN = "unknown"
"""Of a record that an older release wrote, whose error names no class known here."""

# What to do, in whole: the default hints of errors. PROJECT and VISIT are filled in.
OBTAIN = (
    "obtain the tarball again and compare its MD5 with the archive's, then "
    "'icfqueue retry PROJECT VISIT'"
)
ANEW = (
    "put the old tarball back and 'icfqueue retry PROJECT VISIT', or make every output "
    "anew: 'icfqueue run PROJECT VISIT --force'"
)
LOG_IN = (
    "give DataLad a credential for this project, 'datalad credentials set NAME "
    "type=user_password user=USER', try it by 'icfqueue doctor --project PROJECT "
    "--credential NAME', then 'icfqueue run PROJECT --credential NAME'"
)
LOOK_IN_STORE = (
    "'icfqueue doctor --project PROJECT' looks whether the store has the project; if "
    "the visit was mistyped, 'icfqueue forget PROJECT VISIT'"
)
LOOK_IN_LOG = (
    "look for that time in the worker's and the node's log (out of memory?); "
    "then 'icfqueue retry PROJECT VISIT'"
)
ACCEPT = (
    "if they may be published, 'icfqueue retry PROJECT VISIT --accept-identifiers', else "
    "put a tarball with other names in its place, then 'icfqueue retry PROJECT VISIT'"
)
LOOK_FOR_FILES = (
    "the visit is tried again; if that does not help, 'icfqueue run PROJECT VISIT "
    "--force'. Mount options that help are in the documentation for administrators"
)

_AGAIN = "obtain the tarball again"
_FORCE = "'icfqueue run PROJECT VISIT --force'"
_WAIT = "nothing to do: it is tried again"

CAUSES: dict[str, Cause] = {
    "cut": Cause("the tarball ends too early", _AGAIN),
    "damaged": Cause("the tarball has a damaged header", _AGAIN),
    "empty": Cause("the tarball has no bytes", _AGAIN),
    "gzip": Cause("the tarball is compressed", "unpack it to a plain tar"),
    "no-tar": Cause("the file is no tarball", "look what it is, obtain it again"),
    "two-tars": Cause("data follow the tarball's end mark", "pack it again as one tar"),
    "identifiers": Cause(
        "paths or tags tell who a person is",
        "look; accept it, or change the names",
    ),
    "no-dicom": Cause("no member is a DICOM file", "look at its members"),
    "bad-name": Cause("a member's name cannot be in a dataset", "pack it with other names"),
    "changed": Cause("not the tarball that outputs were made from", _FORCE),
    "foreign": Cause("outputs of another tool are there", "leave it or run it anew"),
    "metadata": Cause("metadata files are missing or damaged", _FORCE),
    "deposit": Cause("the deposit is missing or not right", _FORCE),
    "kept": Cause("the tarball was not removed", "find out which tarball is right"),
    "not-in-store": Cause("neither here nor in the store", "check project, visit and URL"),
    "access": Cause("the store refuses", "give DataLad a credential, then retry"),
    "store-answer": Cause("the store answers unusably", "check the store URL"),
    "store-busy": Cause("the store asks to wait", _WAIT),
    "certificate": Cause("the store's certificate is not trusted", "check certificate"),
    "network": Cause("the store did not answer, or broke off", "check network, then retry"),
    "checksum": Cause("it arrived with another MD5", "have the store's tarball checked"),
    "touched": Cause("the tarball changed while it was read", _WAIT),
    "disk": Cause("the file system is full, read-only or faulty", "make room or repair it"),
    "no-room": Cause("the tarball does not fit on the disk", "make room"),
    "not-seen": Cause("files of another node are not seen here", "see the mount options"),
    "permission": Cause("a file may not be read or written", "look at owner and mode"),
    "unsafe-path": Cause("a link is in the way", "look at the folder, remove the link"),
    "catalog": Cause("the catalog cannot be written", "see the message"),
    "setup": Cause("a program or setting is missing on a worker", "'icfqueue doctor'"),
    "tool": Cause("git or git-annex failed", "'icfqueue doctor', then retry"),
    "stall": Cause("a step made no progress", "look at disk and network, then retry"),
    "memory": Cause("a worker ran out of memory", "give workers more, then retry"),
    "crash": Cause("the visit took down its worker", "look into the log, then retry"),
    "broker": Cause("the broker had what is not ours", _WAIT),
    "system": Cause("the system refused a call", "look into the worker's log"),
    "unreadable": Cause("its record cannot be read", "'icfqueue forget PROJECT VISIT'"),
    "bug": Cause("a fault of icfqueue", "report it with the worker's log"),
    UNKNOWN: Cause("written by an older release", "see the message"),
}
"""Code to cause. A code stays as it is once released; docs and completion list them."""
