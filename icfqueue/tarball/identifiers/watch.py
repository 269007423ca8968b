"""Whether the paths and tags that a tarball would publish tell who a person is.

While the tarball is read, values are only gathered (:mod:`.values`): the images of a visit
mostly share them. At its end each form of each value (:mod:`.needles`) is looked for in all
names of a folder at once, by the fastest search that there is; an expression looks closer
only where that finds something.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import accumulate, islice

from icfqueue.core.configured.patterns import Patterns
from icfqueue.core.guard import UNGUARDED, Guard
from icfqueue.core.options import Identifiers
from icfqueue.core.visit import Visit
from icfqueue.tarball.identifiers.folding import folds
from icfqueue.tarball.identifiers.needles import Needle, Own, needles, standing_alone
from icfqueue.tarball.identifiers.values import KINDS, MANY, PATTERN, Values

Folders = Mapping[str, AbstractSet[str]]
"""Names of the DICOM files of each folder."""

_TOGETHER = 5000
"""Lines that are searched at once."""


class Watch:
    """Sees who the images of a tarball are of, and looks for that in what it publishes.

    Parameters
    ----------
    visit
        Its ids are published anyway: they are no find, even as the patient's.
    patterns
        The site's own.

    Attributes
    ----------
    values
        Gets what headers say.
    found
        What was found, once :meth:`look` was called.
    """

    def __init__(self, visit: Visit, patterns: Sequence[str] = ()) -> None:
        self._own = Own(visit)
        self._patterns = Patterns(patterns) if patterns else None
        self.values = Values()
        self.found = Identifiers()

    def look(self, folders: Folders, guard: Guard = UNGUARDED) -> None:
        """Look for the values among paths and tags, and forget them.

        Parameters
        ----------
        folders
            What the tarball has.
        guard
            Told that it goes on.
        """
        wanted = needles(self.values.found, self._own)
        kinds = {MANY} if self.values.many else set[str]()
        paths = self._paths(folders, wanted, kinds, guard)
        tags = list(_tags(self.values.tags))
        tagged = sum(len(hits) for hits in self._hits(tags, wanted, kinds, guard))
        self.values = Values()
        self.found = Identifiers(
            paths, tagged, tuple(kind for kind in KINDS if kind in kinds)
        )

    def _paths(
        self,
        folders: Folders,
        wanted: Mapping[Needle, str],
        kinds: set[str],
        guard: Guard,
    ) -> int:
        """Return of how many paths the folder or the name is a find; note the kinds."""
        named = [folder for folder, names in folders.items() if names]
        told = {
            named[start + line]
            for start, hits in zip(
                range(0, len(named), _TOGETHER),
                self._hits(named, wanted, kinds, guard),
                strict=True,
            )
            for line in hits
        }
        count = 0
        for folder, names in folders.items():
            if folder in told:
                count += len(names)
                # What else their names have is a kind, but no path more.
                for _ in self._hits(names, wanted, kinds, guard):
                    pass
            else:
                count += sum(map(len, self._hits(names, wanted, kinds, guard)))
        return count

    def _hits(
        self,
        texts: Iterable[str],
        wanted: Mapping[Needle, str],
        kinds: set[str],
        guard: Guard,
    ) -> Iterator[set[int]]:
        """Yield the numbers of the lines of each part of `texts` in which something is."""
        rest = iter(texts)
        while lines := list(islice(rest, _TOGETHER)):
            hits = _lines_with(lines, wanted, kinds)
            if self._patterns and (own := self._patterns.found_in(lines)):
                kinds.add(PATTERN)
                hits |= own
            guard.advance()
            yield hits


def _lines_with(
    lines: Sequence[str], wanted: Mapping[Needle, str], kinds: set[str]
) -> set[int]:
    """Return the numbers of the lines that have any of `wanted`; note the kinds."""
    hits: set[int] = set()
    for spaced in folds("\n".join(line.replace("\n", " ") for line in lines)):
        joined = spaced.replace(" ", "")
        for needle, kind in wanted.items():
            text = joined if needle.across else spaced
            if needle.text in text and (places := _places(needle, text)):
                kinds.add(kind)
                starts = [0, *accumulate(len(one) + 1 for one in text.split("\n"))]
                hits.update(bisect_right(starts, place) - 1 for place in places)
    return hits


def _places(needle: Needle, text: str) -> list[int]:
    """Return where the form is in a text that has it at least somewhere."""
    if needle.alone:
        return [found.start() for found in standing_alone(needle.text).finditer(text)]
    places, at = [], text.find(needle.text)
    while at >= 0:
        places.append(at)
        at = text.find(needle.text, at + 1)
    return places


def _tags(said: Iterable[str]) -> Iterator[str]:
    """Yield the different values of published tags, each with the name of the tag."""
    known: set[tuple[str, str]] = set()
    for one in said:
        for name, value in json.loads("{" + one).items():
            values = value if isinstance(value, list) else [value]
            text = "\\".join(map(str, values))
            if text and (name, text) not in known:
                known.add((name, text))
                yield text
