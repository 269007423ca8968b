"""What was asked for a visit, and what a step tells of itself.

The options travel in the visit's record, so that whoever picks a visit up, days later
on another machine, does what was asked when it was enqueued.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    streamed: bool = False


Results = dict[Visit, Outcome | StepError]
"""How each visit of a batch fared."""
