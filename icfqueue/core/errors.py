"""What can go wrong, as one small tree.

::

    IcfqueueError                    exit code 1
    ├── UsageError                   exit code 2: the command line or a setting is wrong
    │   ├── BadId                    a project or visit id that may not become a path
    │   ├── NothingYet               nothing was ever enqueued in this store directory
    │   └── OtherStore               the folder is not the store that the broker works for
    ├── Unreachable                  exit code 3: broker or store does not answer
    │   └── NewerLayout              the broker's data are those of a newer icfqueue
    ├── UnreadableRecord             a visit's record is not what it must be
    ├── BadFolder                    a folder's files cannot become a tarball
    ├── ArchiveExists                another tarball has the name of the new one
    ├── StepError                    a step of a visit did not succeed
    │   ├── PermanentError           trying again cannot help
    │   │   ├── BadTarball           the tarball cannot become a dataset
    │   │   ├── BadMetadata          a published metadata file is not what it must be
    │   │   ├── TarballChanged       not the tarball that the outputs were made from
    │   │   ├── AccessDenied         401: concerns every visit of the project; or 403
    │   │   ├── NotInStore           404
    │   │   ├── UnsafePath           a link or somebody else's folder is in the way
    │   │   └── Crashed              the visit took its worker down too often
    │   └── TransientError           trying again later can help
    │       ├── NetworkTrouble       connection, timeout, 5xx, wrong length
    │       ├── StoreBusy            429 or 503: come back later
    │       ├── TarballTouched       the tarball changed while it was worked on
    │       ├── DiskTrouble          ENOSPC, EIO, ESTALE, EROFS
    │       ├── NotSeen              another node has written it and it is not seen here yet
    │       ├── NoRoom               a tarball does not fit: this visit alone waits
    │       ├── ToolFailed           git or git-annex ended with an error
    │       └── Stalled              no progress for longer than the step may
    └── Withdrawn                    no failure: this worker must drop what it does
        ├── LeaseLost                another worker may have taken the visit over
        ├── Cancelled                the visit was cancelled or handed out anew
        ├── Interrupted              the worker is stopping
        └── PutOff                   trouble is known already: not tried now

The class decides exit code and kind; the message says what was found and where; the
hint says what to do: that of the place where the error is raised, otherwise its class's
own (``default_hint``). So does the cause, a code of :mod:`icfqueue.core.causes`
(``default_cause``). Fields survive JSON (:meth:`StepError.to_dict`) and pickle.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self, Unpack

from icfqueue.core import causes
from icfqueue.core.causes import Words
from icfqueue.core.plain_text import escaped, for_visit

Kind = Literal["permanent", "transient"]


class IcfqueueError(Exception):
    """Root of the tree: a message for a person, and what to do about it.

    Parameters
    ----------
    message
        What was found, with path, member or address. It reaches terminals, records and
        pages, so what no printer prints is escaped, wherever it came from.
    hint
        A remedy that works when it is pasted; commands stand in single quotes, or in
        backticks if such quotes are in them. None is the class's own; an empty one says
        that the message says it all.
    """

    exit_code = 1
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = escaped(message)
        self.hint = escaped(self.default_hint if hint is None else hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), dict(self.__dict__))


def _rebuild(cls: type[IcfqueueError], fields: dict[str, Any]) -> IcfqueueError:
    error = cls.__new__(cls)
    Exception.__init__(error, fields["message"])
    error.__dict__.update(fields)
    return error


class UsageError(IcfqueueError):
    """The command line or a setting is wrong; nothing was done."""

    exit_code = 2


class BadId(UsageError):
    """A project or visit id that must not become a path."""

    default_hint = (
        "ids have letters, digits, '.', '_' and '-', and do not start with '.' or '-'"
    )


class NothingYet(UsageError):
    """A question about a store directory in which nothing was ever enqueued."""


class OtherStore(UsageError):
    """The store directory is not there, or not the one that the broker works for."""


class Unreachable(IcfqueueError):
    """The broker or the store does not answer."""

    exit_code = 3
    default_hint = "is it running? 'icfqueue doctor' looks at broker and store"


class NewerLayout(Unreachable):
    """The broker's data have a layout that only a newer icfqueue knows."""


class UnreadableRecord(IcfqueueError):
    """A visit's record is not what it must be, or of a newer icfqueue; left alone."""


class BadFolder(IcfqueueError):
    """The files of a folder cannot become a tarball; nothing was written."""


class ArchiveExists(IcfqueueError):
    """Another tarball has the name that a new one is to have; it was left alone."""


class StepError(IcfqueueError):
    """A step of a visit did not succeed.

    The code that finds the fault knows what was found; the pipeline adds where
    (:meth:`at`).
    """

    kind: Kind = "permanent"
    default_cause: ClassVar[str] = "bug"
    identifiers: Any = None  # what was found of a person, where the visit fails for that

    def __init__(
        self, message: str, *, hint: str | None = None, cause: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.cause = cause or self.default_cause
        self.project = ""
        self.visit = ""
        self.step = ""

    def at(self, *, project: str, visit: str, step: str) -> Self:
        """Say which visit and step this error belongs to; the first word stands."""
        self.project = self.project or project
        self.visit = self.visit or visit
        self.step = self.step or step
        self.hint = for_visit(self.hint, self.project, self.visit)
        return self

    def to_dict(self) -> dict[str, str]:
        """Return the error as it stands in a visit's record and in ``status``."""
        return {
            "step": self.step,
            "kind": self.kind,
            "cause": self.cause,
            "type": type(self).__name__,
            "message": self.message,
            "hint": self.hint,
        }


class PermanentError(StepError):
    """Trying again cannot help: the visit fails."""


class BadTarball(PermanentError):
    """The tarball, or one of its members, cannot become a dataset.

    Parameters
    ----------
    may_grow
        Whether it could be whole once a copy that is under way has ended.
    """

    default_cause = "damaged"
    default_hint = causes.OBTAIN

    def __init__(
        self, message: str, *, may_grow: bool = True, **words: Unpack[Words]
    ) -> None:
        super().__init__(message, **words)
        self.may_grow = may_grow


class BadMetadata(PermanentError):
    """A published metadata file is not what it must be."""

    default_cause = "metadata"


class TarballChanged(PermanentError):
    """The tarball is not the one that the existing outputs were made from."""

    default_cause = "changed"
    default_hint = causes.ANEW


class AccessDenied(PermanentError):
    """The store answered 401: no other visit of the project need ask; or 403.

    Parameters
    ----------
    forbidden
        It was 403: the store refuses this file, and may give others of the project.
    elsewhere
        It was not the store of this worker's settings, which so has refused nothing.
    """

    default_cause = "access"
    default_hint = causes.LOG_IN

    def __init__(
        self,
        message: str,
        *,
        forbidden: bool = False,
        elsewhere: bool = False,
        **words: Unpack[Words],
    ) -> None:
        super().__init__(message, **words)
        self.forbidden = forbidden
        self.elsewhere = elsewhere


class NotInStore(PermanentError):
    """The tarball is neither in the store directory nor at the store URL."""

    default_cause = "not-in-store"
    default_hint = causes.LOOK_IN_STORE


class UnsafePath(PermanentError):
    """A link, or a folder that others may change, is where the store's own should be."""

    default_cause = "unsafe-path"


class Crashed(PermanentError):
    """The visit took down its worker as often as the settings allow."""

    default_cause = "crash"
    default_hint = causes.LOOK_IN_LOG


class TransientError(StepError):
    """Trying again later can help.

    Parameters
    ----------
    retry_after
        Seconds that the other side asked to wait, if it did.
    """

    kind: Kind = "transient"
    default_cause = "system"

    def __init__(
        self, message: str, *, retry_after: float | None = None, **words: Unpack[Words]
    ) -> None:
        super().__init__(message, **words)
        self.retry_after = retry_after


class NotSeen(TransientError):
    """What an earlier step left is not seen here: network file systems take their time."""

    default_cause = "not-seen"
    default_hint = causes.LOOK_FOR_FILES


class NetworkTrouble(TransientError):
    """Connection refused, reset or stalled; a 5xx; fewer bytes than announced.

    Parameters
    ----------
    slow
        The worker waited for long in vain, and others would.
    """

    default_cause = "network"

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        slow: bool = False,
        **words: Unpack[Words],
    ) -> None:
        super().__init__(message, retry_after=retry_after, **words)
        self.slow = slow


class StoreBusy(TransientError):
    """The store answered 429 or 503."""

    default_cause = "store-busy"


class TarballTouched(TransientError):
    """The tarball changed while it was read; what was read is worth nothing."""

    default_cause = "touched"


class DiskTrouble(TransientError):
    """No space, an I/O error, a stale handle or a read-only file system.

    Parameters
    ----------
    full
        There is no room to write: no attempt counts. An I/O error does count, for it may
        be one tarball that cannot be read.
    """

    default_cause = "disk"
    default_hint = "make room or repair the file system; the visit is tried again"

    def __init__(self, message: str, *, full: bool = True, **words: Unpack[Words]) -> None:
        super().__init__(message, **words)
        self.full = full


class NoRoom(TransientError):
    """A tarball to be downloaded does not fit now; others may. No attempt is counted.

    Parameters
    ----------
    size
        Bytes of the whole tarball.
    """

    default_cause = "no-room"

    def __init__(self, message: str, *, size: int = 0, **words: Unpack[Words]) -> None:
        super().__init__(message, **words)
        self.size = size


class ToolFailed(TransientError):
    """git or git-annex ended with an error; the message has the end of its stderr."""

    default_cause = "tool"
    default_hint = "'icfqueue doctor' checks git and git-annex; the visit is tried again"


class Stalled(TransientError):
    """A step made no progress for longer than the settings allow."""

    default_cause = "stall"
    default_hint = "the step is tried again; the limit is the setting 'stall'"


class Withdrawn(IcfqueueError):
    """No failure of the visit: this worker must drop what it is doing."""


class LeaseLost(Withdrawn):
    """The lease ran out or went to another worker: publish nothing."""


class Cancelled(Withdrawn):
    """The visit's generation is no longer this worker's."""


class Interrupted(Withdrawn):
    """The worker is stopping; the visit goes back to the queue."""


class PutOff(Withdrawn):
    """The step is put off, because trouble is known already.

    Parameters
    ----------
    cause
        What the record shows meanwhile.
    seconds
        For how long.
    """

    def __init__(self, cause: StepError, seconds: float) -> None:
        super().__init__(cause.message, hint=cause.hint)
        self.cause = cause
        self.seconds = seconds
