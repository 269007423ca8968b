"""What was asked for a visit, and what a step tells of itself.

The options travel in the visit's record, so that whoever picks a visit up, days later
on another machine, does what was asked when it was enqueued.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from icfqueue.core.errors import StepError
from icfqueue.core.visit import Visit


@dataclass(frozen=True, slots=True)
class Options:
    """The request with which the visit was enqueued.

    Attributes
    ----------
    store_url
        Where the dataset says the tarball is; also where it is downloaded from.
    credential
        Name of the DataLad credential for it, or None for DataLad's own choice.
    force
        Make every output anew and accept a changed tarball.
    catalog
        Update the study's catalog.
    remove_tarball, remove_metadata
        What `cleanup` removes.
    superdataset
        Renew the project's dataset of all visits.
    stream
        Index a tarball that is not here as it comes from the store, and write none.
    """

    store_url: str
    credential: str | None = None
    force: bool = False
    catalog: bool = True
    remove_tarball: bool = False
    remove_metadata: bool = False
    superdataset: bool = True
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Identifiers:
    """What tells who a person is, among what a tarball would publish; never a value.

    Attributes
    ----------
    paths
        DICOM files with it in their path.
    tags
        Different values of published tags with it.
    kinds
        Of what it was, in a fixed order: ``name``, ``birth-date``, …
    accepted_by, accepted_at
        Who let the visit through all the same, and when (seconds since 1970).
    """

    paths: int = 0
    tags: int = 0
    kinds: tuple[str, ...] = ()
    accepted_by: str = field(default="", compare=False)
    accepted_at: float | None = field(default=None, compare=False)

    def __bool__(self) -> bool:
        return bool(self.kinds)

    def words(self) -> str:
        """Return it for a person: ``in 2 paths and 1 tag (name, birth date)``."""
        places = []
        if self.paths:
            places.append(f"{self.paths} path{'' if self.paths == 1 else 's'}")
        if self.tags:
            places.append(f"{self.tags} tag{'' if self.tags == 1 else 's'}")
        kinds = ", ".join(self.kinds).replace("-", " ")
        where = f"in {' and '.join(places)} " if places else ""
        return f"{where}({kinds})" if self else "none"


def identifiers_json(
    found: Identifiers | None, iso: Callable[[float | None], str | None]
) -> dict[str, Any]:
    """Return the fields of a visit's status; both are None where nobody looked.

    Parameters
    ----------
    iso
        Writes a time, in seconds since 1970.
    """
    if found is None:
        return {"identifiers": None, "identifiers_accepted": None}
    told = {"paths": found.paths, "tags": found.tags, "kinds": list(found.kinds)}
    by = {"by": found.accepted_by, "at": iso(found.accepted_at)}
    accepted = by if found.accepted_by else None
    return {"identifiers": told, "identifiers_accepted": accepted}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a step, for the visit's record; None is nothing new.

    Attributes
    ----------
    worked
        False if the output was there already and belonged to this tarball.
    tar_bytes, tar_md5, dicoms
        Size (bytes) and MD5 (hex) of the tarball, number of DICOM files in it.
    refs
        Ref name to commit, as in the deposit.
    fingerprint
        Inode, size (bytes), mtime and ctime (ns) of the tarball that was read.
    note
        What a person may want to know, in a few words; no DICOM value.
    identifiers
        What of a person the tarball would publish; None if that was not looked at.
    streamed
        The tarball is not here: it is read as it comes from the store.
    """

    worked: bool
    tar_bytes: int | None = None
    tar_md5: str | None = None
    dicoms: int | None = None
    refs: dict[str, str] | None = None
    note: str = ""
    fingerprint: tuple[int, int, int, int] | None = None
    identifiers: Identifiers | None = None
    streamed: bool = False


Results = dict[Visit, Outcome | StepError]
"""How each visit of a batch fared."""
