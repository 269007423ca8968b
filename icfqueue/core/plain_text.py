"""Text from outside, made harmless before somebody reads it.

A web server, a tarball or another writer to the broker may put control characters into
a name or a header: ESC steers a terminal (ECMA-48), C1 does the same in one character,
and the marks for writing direction let a text look like another (Unicode TR 36, 2.11).
:func:`shown` is for the place where such a text enters a message, :func:`escaped` and
:func:`escape_record` are nets at the edges.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging

_KILO = 1000.0

MOST = 120
"""Characters of a text from outside that a message has room for."""

_IN_STORE = re.compile(r"(?<![\w/.-])STORE(/[\w./-]*\w)", re.ASCII)
"""A file of the store directory, as :func:`for_store` fills it in."""


def escaped(text: str) -> str:
    r"""Return `text` with whatever is no printable character written as ``\x1b``.

    Ends of lines and tabulators stay; they are ours.
    """
    if text.isprintable():
        return text
    return "".join(sign if _harmless(sign) else _written(sign) for sign in text)


def shown(text: object, most: int = MOST) -> str:
    """Return `text` for use in a message: escaped, in one line, cut short.

    Parameters
    ----------
    text
        What came from outside.
    most
        Characters after which it is cut; an ellipsis says so.
    """
    # Cut before the work is done: a header may have 64 kB.
    line = escaped(" ".join(str(text)[: 8 * most].split()))
    return line if len(line) <= most else line[: most - 1] + "…"


def size(count: float) -> str:
    """Return an amount of bytes for people: ``41.0 kB``, ``1.2 GB``; 1 kB = 1000 B.

    As SI has it, and as the tables of the status show sizes. Where two sizes are compared
    that may differ by a byte, all digits are given instead.
    """
    if count < _KILO:
        return f"{count:.0f} byte{'' if round(count) == 1 else 's'}"
    for unit in ("kB", "MB", "GB"):
        count /= _KILO
        if count < _KILO - 0.05:
            return f"{count:.1f} {unit}"
    return f"{count / _KILO:.1f} TB"


def for_visit(hint: str, project: str, visit: str = "") -> str:
    """Return a hint whose commands are about a visit: for PROJECT and VISIT its ids.

    Where an error is found it is often not known which visit it belongs to.
    """
    for word, value in (("PROJECT", project), ("VISIT", visit)):
        if value:
            hint = hint.replace(word, value)
    return hint


def for_store(hint: str, root: Path | str) -> str:
    """Return a hint whose commands are about files: for STORE the store directory.

    Where an error is found the store directory may have another name than where its hint
    is read: on another node, or in a container. Names are quoted for a shell.

    Parameters
    ----------
    root
        The store directory as it is called here.
    """
    return _IN_STORE.sub(lambda found: shlex.quote(f"{root}{found[1]}"), hint)


def escape_record(record: logging.LogRecord) -> bool:
    """Escape the words of a log record, its traceback's too; a filter that lets all pass.

    A filter and no formatter: Celery's formatter adds colours that are to stay.
    """
    # Commands that log nothing start sooner without it.
    import logging

    record.msg, record.args = escaped(record.getMessage()), None
    if record.exc_info and not record.exc_text:
        record.exc_text = logging.Formatter().formatException(record.exc_info)
    if record.exc_text:
        record.exc_text = escaped(record.exc_text)
    return True


def _harmless(sign: str) -> bool:
    return sign.isprintable() or sign in "\n\t"


def _written(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")
