"""The text of a record: two JSON objects, checked when they are read.

``r`` is the record as every release of icfqueue reads it; releases before layouts were
numbered end in a bare error at any field more, so none is added. What came later is in
``m``: a layout's number, the version of the record that it belongs to, and fields. If
another version of the record is there, an older worker has written since then, and
nothing of ``m`` holds any more: it is read as not known. So a field that is absent must
always mean "not known".

Fields that this release does not know are kept, and written back as they were read.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any

import msgspec

from icfqueue.core import errors
from icfqueue.core.causes import UNKNOWN
from icfqueue.core.errors import UnreadableRecord
from icfqueue.core.options import Identifiers, Options
from icfqueue.core.priority import MAX_PRIORITY
from icfqueue.core.steps import NAMES
from icfqueue.core.visit import Visit

SCHEMA = 2
"""Number of this layout of a record; 1 is one without ``m``. Raised when a worker that
does not know the new one must not touch the record; a field more is no reason."""

Time = Annotated[float, msgspec.Meta(ge=0, lt=253402300800)]
"""Seconds since 1970, before the year 10000; or of a step, which a clock that is set
meanwhile may make as long."""

MOST = 2**62
"""No count, and no size in bytes, is as large."""

Count = Annotated[int, msgspec.Meta(ge=0, lt=MOST)]
Fingerprint = tuple[Count, Count, int, int]


class StepFields(msgspec.Struct, array_like=True):
    """One step in ``r``; what follows in the list is not known here."""

    state: str
    attempts: Count
    faults: Count
    crashes: Count
    seconds: Time | None
    worker: str | None


class Known(msgspec.Struct):
    """The fields of ``r``."""

    visit: str
    options: Options
    steps: list[StepFields]
    priority: Annotated[int, msgspec.Meta(ge=0, le=MAX_PRIORITY)] = 0
    generation: Count = 1
    queued_at: Time | None = None
    started_at: Time | None = None
    finished_at: Time | None = None
    due: Time | None = None
    began: Time | None = None
    token: str = ""
    tar_bytes: Count | None = None
    tar_md5: str | None = None
    dicoms: Count | None = None
    refs: dict[str, str] | None = None
    error: dict[str, str] | None = None


class More(msgspec.Struct):
    """The fields of ``m``."""

    schema: int
    v: str
    fingerprint: Fingerprint | None = None
    identifiers: Identifiers | None = None
    streamed: bool | None = None
    superdataset: bool | None = None
    stream: bool | None = None
    """This and the one before are options that older releases do not know."""


_KNOWN = frozenset(Known.__struct_fields__)
PLAIN = tuple(
    name for name in Known.__struct_fields__ if name not in {"visit", "options", "steps"}
)
"""Fields that are written as they are, if they are not None."""

_MORE = frozenset(More.__struct_fields__)
_OPTIONS = frozenset(Options.__dataclass_fields__)
_NEW_OPTIONS = {
    name: Options.__dataclass_fields__[name].default for name in ("superdataset", "stream")
}
"""Options that older releases do not know, and what they are unless ``m`` says it."""

_STEP = len(StepFields.__struct_fields__)
_ERROR = ("step", "kind", "type", "cause", "message", "hint")
_STATES = frozenset(
    {"pending", "queued", "running", "waiting", "done", "failed", "cancelled"}
)
"""Spelt out, for the states stand on this module; a test compares them."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Fields of a newer release: of ``r``, of its options, its steps, and of ``m``."""

    record: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    steps: tuple[tuple[Any, ...], ...] = ()
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Read:
    """What a record's text says."""

    known: Known
    more: More | None
    unknown: Unknown | None


def read(text: str | bytes, visit: Visit | None, more: str | None, version: str) -> Read:
    """Return what the texts of a record say.

    Parameters
    ----------
    text, more
        ``r`` and ``m``.
    visit
        Whose record it must be; None takes any.
    version
        That of the record.

    Raises
    ------
    UnreadableRecord
        Something is not what it must be; says what.
    """
    raw, known = _decoded(text, Known, "record")
    if visit is not None and known.visit != str(visit):
        raise UnreadableRecord(f"it names the visit {known.visit!r}")
    _check_steps(known.steps)
    if known.error is not None:
        known.error = dict.fromkeys(_ERROR, "") | known.error
        known.error["cause"] = known.error["cause"] or _cause_of(known.error["type"])
    later, unknown_more = _more(more, version)
    told = {name: getattr(later, name, None) for name in _NEW_OPTIONS}
    new = {name: value for name, value in told.items() if value is not None}
    if new:
        known.options = replace(known.options, **new)
    unknown = Unknown(
        {name: raw[name] for name in raw.keys() - _KNOWN},
        {name: raw["options"][name] for name in raw["options"].keys() - _OPTIONS},
        tuple(tuple(step[_STEP:]) for step in raw["steps"]),
        unknown_more,
    )
    strange = unknown.record or unknown.options or unknown.more or any(unknown.steps)
    return Read(known, later, unknown if strange else None)


def _decoded(text: str | bytes, kind: type[Any], what: str) -> tuple[dict[str, Any], Any]:
    try:
        # Not by msgspec: an error may name a file whose name is no UTF-8.
        raw = json.loads(text)
    except (ValueError, RecursionError):
        raise UnreadableRecord(f"its {what} is no JSON") from None
    try:
        return raw, msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise UnreadableRecord(f"its {what} is not what it must be: {error}") from None


def _cause_of(kind: str) -> str:
    """Return the cause of an error that an older release wrote, by its class's name."""
    cls = getattr(errors, kind, None)
    if cls in {errors.TransientError, errors.PermanentError, errors.BadTarball}:
        return UNKNOWN
    return getattr(cls, "default_cause", UNKNOWN)


def _check_steps(steps: list[StepFields]) -> None:
    """Raise unless the steps are those of this release, and in a possible state."""
    if len(steps) != len(NAMES):
        raise UnreadableRecord(f"it has {len(steps)} steps; {len(NAMES)} are known here")
    for step in steps:
        if step.state not in _STATES:
            raise UnreadableRecord(f"it has a step that is {step.state!r}")
    standing = next((step for step in steps if step.state != "done"), None)
    if standing and standing.state == "pending":
        raise UnreadableRecord("none of its steps is under way")


def _more(text: str | None, version: str) -> tuple[More | None, dict[str, Any]]:
    """Return the fields of ``m``, known and not, if they belong to this version."""
    if not text:
        return None, {}
    raw, more = _decoded(text, More, "second part")
    if more.v != version:
        return None, {}
    if more.schema > SCHEMA:
        raise UnreadableRecord(
            f"a newer icfqueue wrote it (layout {more.schema}; {SCHEMA} is known here)",
            hint="update icfqueue on this machine",
        )
    return more, {name: raw[name] for name in raw.keys() - _MORE}


def write(
    visit: Visit,
    options: Options,
    steps: list[list[Any]],
    plain: dict[str, Any],
    unknown: Unknown | None,
) -> str:
    """Return ``r``.

    Parameters
    ----------
    steps
        Of each step the fields of :class:`StepFields`, in order.
    plain
        The fields of :data:`PLAIN`.

    Raises
    ------
    ValueError
        Nobody could read it again: whoever made it has a fault.
    """
    fields = {name: value for name, value in plain.items() if value is not None}
    written = {n: v for n, v in asdict(options).items() if n not in _NEW_OPTIONS}
    if unknown:
        steps = [[*s, *more] for s, more in zip(steps, unknown.steps, strict=True)]
        written |= unknown.options
        fields |= unknown.record
    whole = {"visit": str(visit), "options": written, "steps": steps, **fields}
    _check(whole, Known)
    return json.dumps(whole, separators=(",", ":"))


def write_more(
    version: str,
    options: Options,
    own: dict[str, Any],
    unknown: Unknown | None,
) -> str:
    """Return ``m`` for the given version of a record; empty if there is nothing to say.

    Parameters
    ----------
    own
        The record's own fields in it; those that are None or False are left out.
    """
    fields: dict[str, Any] = dict(unknown.more) if unknown else {}
    for name, value in own.items():
        if value is not None and value is not False:
            fields[name] = asdict(value) if isinstance(value, Identifiers) else value
    for name, default in _NEW_OPTIONS.items():
        if (value := getattr(options, name)) != default:
            fields[name] = value
    if not fields:
        return ""
    whole = {"schema": SCHEMA, "v": version, **fields}
    _check(whole, More)
    return json.dumps(whole, separators=(",", ":"))


def _check(whole: dict[str, Any], kind: type[Any]) -> None:
    """Raise unless `whole` is what :func:`read` takes; 2 microseconds.

    Raises
    ------
    ValueError
        It is not.
    """
    try:
        msgspec.convert(whole, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"a record that nobody could read: {error}") from None
