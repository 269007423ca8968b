"""How the members of a tarball are to be called so that a dataset can have them.

Only what no dataset could have is renamed (:mod:`icfqueue.tarball.member_paths`), by a
rule that needs no clock and no chance: the same tarball is always mended in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from icfqueue.core.errors import BadTarball
from icfqueue.tarball.header import shown
from icfqueue.tarball.member_paths import unfetchable, unsafe

_UNFIT: Final = re.compile("[&#\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff]")
"""What no path of a dataset can have: each letter of it becomes ``_``."""


class Content(NamedTuple):
    """A member with a content, as it is in the tarball."""

    name: str
    """Path; bytes that are not UTF-8 as surrogates."""
    dicom: bool
    """Whether it is a DICOM file."""
    size: int
    """Bytes."""
    md5: str
    """Of the content, in hex; asked for only where two have one name."""


class Named(NamedTuple):
    """What a member is to be called, and why not as it was."""

    name: str
    """Empty if it is left out."""
    why: str
    """Empty if it keeps its name."""


def renamed(contents: Sequence[Content], dspath: str) -> list[Named]:
    """Return what each of `contents` is to be called.

    Who may keep its name does, and who only loses a ``./`` comes next. Of several with
    one name it is the last, which tar and DataLad find; the others go if they are the
    same, and get a number otherwise.

    Parameters
    ----------
    dspath
        Where the tarball lies in the dataset.

    Raises
    ------
    BadTarball
        A name cannot be mended.
    """
    wanted = [_mended(content, dspath) for content in contents]
    last = {content.name: number for number, content in enumerate(contents)}
    taken = {above for one in wanted for above in _above(one.name)}
    found: dict[int, Named] = {}

    def rank(number: int) -> tuple[int, int]:
        """Return when a member is asked for its name, from what it gives up for it."""
        name, (new, why) = contents[number].name, wanted[number]
        if last[name] != number:
            return 3, number
        if not why:
            return 0, number
        return (1 if new == _shortest(name) else 2), number

    for number in sorted(range(len(contents)), key=rank):
        content, (name, why) = contents[number], wanted[number]
        newest = last[content.name]
        if newest == number:
            found[number] = _free(name, why, taken)
        elif content[2:] == contents[newest][2:]:
            found[number] = Named("", "is in it twice, with the same content")
        else:
            found[number] = _free(name, "is in it twice, with other content", taken)
    return [found[number] for number in range(len(contents))]


def _mended(content: Content, dspath: str) -> Named:
    """Return the name that a member wants, and what is wrong with its own."""
    name = content.name
    why = _why_not(name, dspath, dicom=content.dicom)
    short = _shortest(name)
    if not why:
        # Beside others that lose their './' it would lie in a folder of its own.
        return Named(short, "" if short == name else "is not in its shortest form")
    new = short
    more = _why_not(new, dspath, dicom=content.dicom)
    if more:
        why = why if why == more else f"{why}, and {more}"
        parts = [_part(part) for part in short.split("/")]
        if parts[0].casefold() == ".datalad":
            parts[0] = f"_{parts[0]}"
        new = "/".join(parts)
        if _why_not(new, dspath, dicom=True):
            new = f"_{new}"
    still = _why_not(new, dspath, dicom=content.dicom)
    if still:
        raise BadTarball(
            f"member {shown(name)} {still}",
            hint="unpack the tarball, call the file otherwise, and archive the folder",
            cause="bad-name",
        )
    return Named(new, why)


def _shortest(name: str) -> str:
    """Return a path without ``.``, ``//`` and a slash at its begin or end."""
    return "/".join(part for part in name.split("/") if part not in {"", "."}) or "_"


def _part(part: str) -> str:
    """Return a component as it may be called."""
    part = _UNFIT.sub("_", part)
    if unsafe(part):
        part = part.replace("\\", "_")
    if part == "..":
        return "__"
    return f"_{part}" if unfetchable(part, "/")[0] or unsafe(part) else part


def _why_not(path: str, dspath: str, *, dicom: bool) -> str:
    return unsafe(path) or (unfetchable(path, dspath)[0] if dicom else "")


def _above(name: str) -> list[str]:
    """Return the folders in which a member lies."""
    return [name[:at] for at, letter in enumerate(name) if letter == "/" and at]


def _free(name: str, why: str, taken: set[str]) -> Named:
    """Return the first name that nothing else has: ``a.dcm``, ``a-2.dcm``, ``a-3.dcm``."""
    folder, slash, base = name.rpartition("/")
    stem, dot, suffix = base.rpartition(".")
    if not stem:
        stem, dot, suffix = base, "", ""
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{folder}{slash}{stem}-{number}{dot}{suffix}"
    taken.add(free)
    return Named(free, why or ("is both a file and a folder" if free != name else ""))
