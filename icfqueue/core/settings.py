"""What a site can set, from one place and checked once.

Command line options come first, then the environment (``ICFQUEUE_…``), then
``icfqueue.toml`` in the current folder (or the file that ``ICFQUEUE_CONFIG`` names),
then the user's own ``icfqueue.toml`` in the platform's configuration folder.

Every command reads its settings before anything else, so they are checked by a library
that is quick to import (docs/performance.md).
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from icfqueue.core.configured.patterns import Expressions, Looking, fault_of
from icfqueue.core.configured.sources import (
    CONFIG_FILE,
    config_files,
    of_environment,
    of_file,
)
from icfqueue.core.errors import UsageError
from icfqueue.core.steps import STEPS

STALL = {step.name: step.stall for step in STEPS}
"""Seconds that each step may go without progress, unless set otherwise."""


class Secret:
    """A text that is shown nowhere by accident."""

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reveal() == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "Secret(…)"


Count = Annotated[int, Meta(ge=1)]
Span = Annotated[float, Meta(gt=0)]
"""Seconds, more than none."""
Pause = Annotated[float, Meta(ge=0)]
"""Seconds, or none."""
Size = Annotated[int, Meta(ge=0)]
"""Bytes."""
Color = Annotated[str, Meta(pattern=r"^#[0-9a-fA-F]{6}$")]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings; made by :func:`load`, which checks them.

    The description of each is its documentation: the reference is made of it.
    """

    store_dir: Annotated[
        Path,
        Meta(description="Store directory: the folder of the projects' folders."),
    ] = Path()
    store_url: Annotated[
        str,
        Meta(description="Where the store is on the web, `http://` or `https://`."),
    ] = "https://data.inm-icf.de"
    store_links: Annotated[
        Literal["none", "projects", "all"],
        Meta(
            description="Links in the store directory that are followed: `none`; "
            "`projects`, whose own folders may be links; `all`, which is those and "
            "tarballs. Who may write in a project then decides what the workers read."
        ),
    ] = "none"
    broker_url: Annotated[
        Secret | None,
        Meta(description="Redis or Valkey; without it an embedded server is started."),
    ] = None
    broker_password: Annotated[
        Secret | None,
        Meta(description="Password of the broker, so that it can stay out of the address."),
    ] = None
    broker_ca_file: Annotated[
        Path | None,
        Meta(description="Certificate authority, as PEM, of a `rediss://` broker."),
    ] = None
    credential: Annotated[
        str | None,
        Meta(description="Name of the DataLad credential for the store."),
    ] = None

    max_attempts: Annotated[
        Count,
        Meta(description="Tries of a step, in all, before a visit fails."),
    ] = 5
    retry_base: Annotated[
        Span,
        Meta(description="Seconds before the first retry; each further wait is longer."),
    ] = 10.0
    retry_cap: Annotated[
        Span,
        Meta(description="Seconds that a retry waits at most."),
    ] = 1800.0
    max_crashes: Annotated[
        Count,
        Meta(description="Workers that a visit may take down before it fails."),
    ] = 3
    lease: Annotated[
        float,
        Meta(
            ge=1,
            description="Seconds that a silent worker is trusted; then others take over "
            "its visits.",
        ),
    ] = 30.0
    stall: Annotated[
        dict[str, Span],
        Meta(
            description="Seconds that each step may go without progress; steps that are "
            "not named keep their default.",
        ),
    ] = msgspec.field(default_factory=lambda: dict(STALL))
    grace: Annotated[
        Pause,
        Meta(
            description="Seconds that a running step is given when its worker is to stop."
        ),
    ] = 20.0
    disk_pause: Annotated[
        Span,
        Meta(description="Seconds that a store directory without room is left alone."),
    ] = 60.0
    store_pause: Annotated[
        Span,
        Meta(description="Seconds that a failing store on the web is left alone."),
    ] = 60.0
    store_faults: Annotated[
        Count,
        Meta(description="Faults of the store in a row before it is left alone."),
    ] = 5
    connect_timeout: Annotated[
        Span,
        Meta(description="Seconds to wait for a connection to the store."),
    ] = 20.0
    read_timeout: Annotated[
        Span,
        Meta(
            description="Seconds to wait for the store between two reads; with "
            "connect_timeout, for a whole answer that has no tarball in it."
        ),
    ] = 60.0
    least_rate: Annotated[
        float,
        Meta(
            ge=0,
            description="Bytes a second that must come from the store, averaged over "
            "read_timeout.",
        ),
    ] = 2000.0
    seen_within: Annotated[
        Pause,
        Meta(
            description="Seconds within which files that another machine has written are "
            "seen; until then a visit that misses one waits, and no try counts."
        ),
    ] = 120.0
    settle: Annotated[
        Pause,
        Meta(
            description="Seconds for which a tarball that cannot be read must not have "
            "changed to count as broken: until then it may be one that is being copied."
        ),
    ] = 120.0
    stream: Annotated[
        bool,
        Meta(
            description="Whether a tarball that is not in the store directory is indexed "
            "as it comes from the store, and never written."
        ),
    ] = False
    keep_free: Annotated[
        Size,
        Meta(description="Bytes of the disk that a download leaves free."),
    ] = 1 << 30

    identifiers: Looking = "warn"
    identifier_patterns: Expressions = msgspec.field(default_factory=list)
    notify: Annotated[
        Secret | None,
        Meta(
            description="Address that gets a JSON message by HTTP POST when a visit fails, "
            "and when a project drains or stalls: `--notify`, but in no list of processes. "
            "Sent by `run`, `status --wait` and `events --follow`."
        ),
    ] = None

    task_events: Annotated[
        bool,
        Meta(
            description="Whether workers tell Celery's own tools, as Flower, of each task "
            "and that they live."
        ),
    ] = True

    log_format: Annotated[
        Literal["text", "json"],
        Meta(
            description="How workers write their log: `text` for people, `json` for "
            "collectors, one object a line."
        ),
    ] = "text"

    publish_references: Annotated[
        bool,
        Meta(
            description="Whether each new deposit comes with a file that tells fsspec "
            "where in the tarball each image is."
        ),
    ] = False

    catalog_name: Annotated[
        str,
        Meta(description="What stands above every page of the catalog."),
    ] = "ICF study catalog"
    catalog_logo: Annotated[
        Path | None,
        Meta(description="An SVG or PNG file that stands there, too."),
    ] = None
    catalog_link_color: Annotated[
        Color,
        Meta(description="Color of links, as `#rrggbb`."),
    ] = "#007eb1"
    catalog_link_hover_color: Annotated[
        Color,
        Meta(description="Color of a link below the pointer, as `#rrggbb`."),
    ] = "#023d6b"
    catalog_gather: Annotated[
        Pause,
        Meta(description="Seconds that a finished visit waits at most for its study page."),
    ] = 2.0
    catalog_export: Annotated[
        bool,
        Meta(description="Whether each page's metadata are offered for download."),
    ] = True
    superdataset: Annotated[
        bool,
        Meta(
            description="Whether each project has a dataset with all its visits as "
            "subdatasets, to be cloned in one go."
        ),
    ] = True


DEFAULT, OPTION = "default", "option"
"""Where a setting comes from that neither a file nor the environment has."""


class Explained(NamedTuple):
    """A setting, and where its value comes from.

    Attributes
    ----------
    source
        ``default``, ``option``, the path of a file or the name of a variable.
    """

    name: str
    value: Any
    source: str


def whole_path(path: Path | str) -> Path:
    """Return a store directory as it is called from everywhere.

    A link in it keeps its name; but ``..`` is that of the folder to which a link leads, so
    that nothing but the system can say what it is.
    """
    path = Path(path)
    return path.resolve() if ".." in path.parts else path.absolute()


def load(**given: Any) -> Settings:
    """Return the settings of this process.

    Parameters
    ----------
    given
        Options of the command line; those that are None were not given.

    Raises
    ------
    UsageError
        A setting is unknown or has a value that cannot be used. Values are not shown:
        one of them may be a password.
    """
    return _checked({name: value for name, (_, value) in _gathered(given).items()})


def explain(**given: Any) -> Iterator[Explained]:
    """Yield every setting with its value and where it comes from, in their order.

    Parameters and errors are those of :func:`load`.
    """
    gathered = _gathered(given)
    chosen = _checked({name: value for name, (_, value) in gathered.items()})
    for name in Settings.__struct_fields__:
        source = gathered[name][0] if name in gathered else DEFAULT
        yield Explained(name, getattr(chosen, name), source)


def _gathered(given: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    """Return what is set, by name: where, and the value as it stands there."""
    found: dict[str, tuple[str, Any]] = {}
    for path in reversed(config_files()):
        found |= {name: (str(path), value) for name, value in of_file(path).items()}
    found |= of_environment(Settings.__struct_fields__)
    return found | {
        name: (OPTION, value) for name, value in given.items() if value is not None
    }


def _checked(found: dict[str, Any]) -> Settings:
    """Return the settings, each checked."""
    for name in found:
        if name not in Settings.__struct_fields__:
            near = difflib.get_close_matches(name, Settings.__struct_fields__, 1)
            guess = f"; did you mean {near[0]}?" if near else ""
            raise _unusable(name, f"there is no such setting{guess}")
    if isinstance(found.get("store_url"), str):
        found["store_url"] = found["store_url"].rstrip("/")
    if isinstance(found.get("stall"), dict):
        # The defaults of the steps that are not named stay.
        found["stall"] = STALL | found["stall"]
    try:
        # Not strict: numbers from the environment are texts.
        chosen = msgspec.convert(found, Settings, strict=False, dec_hook=_own_type)
    except msgspec.ValidationError as error:
        # Its words are what was expected and the type of what was found: no value.
        what, _, where = str(error).partition(" - at ")
        named = re.search(r"\$\.(\w+)", where)
        raise _unusable(named[1] if named else "?", what) from None
    for name, fault in _faults(chosen):
        raise _unusable(name, fault)
    return chosen


def _unusable(name: str, what: str) -> UsageError:
    return UsageError(
        f"setting {name}: {what}",
        hint=f"look at the options, at ICFQUEUE_{name.upper()} and at {CONFIG_FILE}",
    )


def _own_type(wanted: type, value: Any) -> Any:
    """Make what :mod:`msgspec` does not know of itself."""
    if wanted is Path and isinstance(value, (str, Path)):
        return Path(value).expanduser()
    if wanted is Secret and isinstance(value, str):
        return Secret(value)
    raise ValueError(f"Expected a text, got `{type(value).__name__}`")


def _faults(found: Settings) -> Iterator[tuple[str, str]]:
    """Yield the names of settings that types cannot check, with what is wrong."""
    if not found.store_url.startswith(("http://", "https://")):
        yield "store_url", "must start with https:// or http://"
    if any(sign.isspace() or sign in "?#" for sign in found.store_url):
        yield "store_url", "must not have a space, '?' or '#' in it"
    if "@" in urlsplit(found.store_url).netloc:
        yield "store_url", "must not have a user or password in it; DataLad has those"
    if unknown := ", ".join(sorted(set(found.stall) - set(STALL))):
        yield "stall", f"there is no step {unknown}"
    if found.identifier_patterns and (fault := fault_of(found.identifier_patterns)):
        yield "identifier_patterns", fault
    for name in Settings.__struct_fields__:
        value = getattr(found, name)
        numbers = value.values() if isinstance(value, dict) else [value]
        if any(isinstance(one, float) and not math.isfinite(one) for one in numbers):
            yield name, "must be a finite number"
