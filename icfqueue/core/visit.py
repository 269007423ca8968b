"""A visit: which project it belongs to, what it is called, what its files are called.

Ids come from outside (command line, directory listings, queue messages) and become
paths and URLs, so nothing but :class:`Visit` and :func:`check_id` may let them in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Self

from icfqueue.core.errors import BadId, UsageError

TAR_SUFFIX = "_dicom.tar"
"""What follows the visit id in the name of its tarball."""

MAX_ID = 200
"""Longest id, in characters: the longest file name made of one stays under 255 bytes."""

_SOME = 3
"""Visits that are named to who gave a glob of none."""

_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*", re.ASCII)
_STORE_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


def is_store_id(text: str) -> bool:
    """Tell whether `text` is the id of a store directory: 32 hexadecimal digits."""
    return _STORE_ID.fullmatch(text) is not None


def check_id(value: str, what: str) -> str:
    """Return `value` if it may be used as a project or visit id.

    Parameters
    ----------
    value
        The id as it came in.
    what
        ``"project"`` or ``"visit"``, for the message.

    Raises
    ------
    BadId
        Anything but letters, digits, ``.``, ``_``, ``-``; a leading ``.`` or ``-``; an
        empty or overlong id.
    """
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise BadId(f"{what} id {value!r} is not allowed")
    if len(value) > MAX_ID:
        raise BadId(
            f"{what} id {value[:20] + '…'!r} has {len(value)} characters",
            hint=f"ids have at most {MAX_ID} characters",
        )
    return value


def is_id(value: str) -> bool:
    """Tell whether `value` may be used as a project or visit id."""
    try:
        check_id(value, "project")
    except BadId:
        return False
    return True


def project_named(text: str) -> str:
    """Return the project that a person means: its id, or the way to its folder.

    A shell that completes file names gives ``study_1/``. Nothing is checked here.
    """
    return text.rstrip("/").removeprefix("./") or text


def visit_named(project: str, text: str) -> str:
    """Return the visit that a person means: its id, or its tarball in `project`.

    A shell that completes file names gives ``study_1/v1_dicom.tar``. A glob is left as
    it is but for that. Nothing is checked here.
    """
    name = text.rstrip("/").removeprefix("./").removeprefix(f"{project}/")
    return name.removesuffix(TAR_SUFFIX) or text


def is_glob(text: str) -> bool:
    """Tell whether `text` is no id but a pattern for ids: ``sub-01*``, ``sub-0[12]``."""
    return any(sign in text for sign in "*?[")


def expand(
    project: str, named: Sequence[str], known: Callable[[], Iterable[Visit]]
) -> list[Visit]:
    """Return the visits of `project` that are named by id or by glob, each once.

    Parameters
    ----------
    named
        Ids and globs (:mod:`fnmatch`, case counts).
    known
        Returns the visits among which globs look; not called where none is given.

    Raises
    ------
    BadId
        A name is neither.
    UsageError
        A glob is that of no visit.
    """
    found: dict[Visit, None] = {}
    among = [*known()] if any(is_glob(name) for name in named) else []
    for name in named:
        if not is_glob(name):
            found[Visit(project, name)] = None
            continue
        alike = [visit for visit in among if fnmatchcase(visit.id, name)]
        if not alike:
            some = ", ".join(sorted(visit.id for visit in among)[:_SOME])
            more = f" and {len(among) - _SOME} more" if among[_SOME:] else ""
            raise UsageError(
                f"no visit of {project} is called like {name!r}",
                hint=f"there are {some}{more}" if some else "there are none",
            )
        found.update(dict.fromkeys(alike))
    return [*found]


@dataclass(frozen=True, order=True, slots=True)
class Visit:
    """One visit of one project; both ids are checked when it is made.

    File names below are relative to the project's folder, in the store directory and
    at the store URL alike.
    """

    project: str
    id: str

    def __post_init__(self) -> None:
        check_id(self.project, "project")
        check_id(self.id, "visit")

    def __str__(self) -> str:
        return f"{self.project}/{self.id}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the visit that ``str(visit)`` gave `text`.

        Raises
        ------
        BadId
            Not ``project/visit``.
        """
        project, _, visit = text.partition("/")
        return cls(project, visit)

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Return the visit that ``str(visit)`` gave `text`, or None if it is none."""
        project, _, visit = text.partition("/")
        return cls.named(project, visit)

    @classmethod
    def of_tarball(cls, project: str, name: str) -> Self | None:
        """Return the visit whose tarball is called `name`, or None for another file."""
        if not name.endswith(TAR_SUFFIX):
            return None
        return cls.named(project, name.removesuffix(TAR_SUFFIX))

    @classmethod
    def named(cls, project: str, name: str) -> Self | None:
        """Return the visit called `name`, or None if no visit may be called so."""
        try:
            return cls(project, name)
        except BadId:
            return None

    @property
    def tarball(self) -> str:
        return f"{self.id}{TAR_SUFFIX}"

    @property
    def md5sum(self) -> str:
        return f"{self.id}{TAR_SUFFIX}.md5sum"

    @property
    def metadata_tarball(self) -> str:
        return f"{self.id}_metadata_tarball.json"

    @property
    def metadata_dicoms(self) -> str:
        return f"{self.id}_metadata_dicoms.json"

    @property
    def metadata_references(self) -> str:
        return f"{self.id}_metadata_references.json"

    @property
    def refs(self) -> str:
        return f"{self.id}_XDLRA--refs"

    @property
    def repo_export(self) -> str:
        return f"{self.id}_XDLRA--repo-export"

    @property
    def dspath(self) -> str:
        """Where the tarball lies in the dataset."""
        return f"icf/{self.tarball}"

    @property
    def storepath(self) -> str:
        """Where the tarball lies below the store URL."""
        return f"{self.project}/{self.tarball}"
