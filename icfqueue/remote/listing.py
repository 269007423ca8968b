"""Which visits a directory listing on the web names.

Written for Apache's mod_autoindex; anything that links to its files will do. The page is
read as it arrives, by the tokenizer of :mod:`turbohtml`, a state machine that keeps
nothing but the tag it is in (WHATWG HTML, 13.2.5) and so needs time in proportion to the
page, however that is written.
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

from icfqueue.core.errors import PermanentError
from icfqueue.core.visit import TAR_SUFFIX, Visit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from turbohtml import Token

BLOCK = 1 << 16
"""Bytes that are looked at together; never fewer, so that a page that comes in single
bytes costs no more than one that comes at once."""

MAX_TAG = 1 << 20
"""Characters between two tags, and of one: more than any listing has."""

MAX_HREF = 4096
"""Characters of a link to a file of the folder; names have at most 255 bytes."""

MAX_VISITS = 2_000_000
"""Visits of one project; each takes about 200 bytes of memory here."""

NAMED = 100
"""Names that give no visit and are told; of the others only the number is."""

_PLAIN = re.compile(r"[A-Za-z0-9._~-]+", re.ASCII)
"""A link that is the name of a file as it stands."""

_SIZE = re.compile(r"(?<![\w.:-])(\d{1,15}(?:\.\d{1,3})?) ?([KMGT]?)(?:i?B)?(?![\w.:-])")
"""A size as servers write it behind a link (``12345``, ``1.2G``), and no date or time."""

_UNITS = {unit: 1024**power for power, unit in enumerate(("", "K", "M", "G", "T"))}

_MOST_TEXT = 200
"""Characters behind a link in which its size is looked for."""

_HINT = "name the visits ('icfqueue run PROJECT --visits-file FILE'), or split the project"


class Listing:
    """What the page of a folder, fed piece by piece, tells of a project.

    Parameters
    ----------
    project
        The project that it is the folder of.
    address
        Where the page came from; links are relative to it. Links to anything but a file
        right in this folder are passed over.

    Attributes
    ----------
    more_left_out
        How many links to tarballs without a visit id are not in :meth:`left_out`.
    sizes
        Bytes of the tarballs by visit id, where the page tells them; many servers round.
    """

    def __init__(self, project: str, address: str) -> None:
        from turbohtml import Tokenizer, TokenType

        self.project = project
        self.address = address
        self.more_left_out = 0
        self.sizes: dict[str, int] = {}
        self._of: str | None = None
        self._behind = False
        self._ids: set[str] = set()
        self._left_out: set[str] = set()
        self._base = urlsplit(address)
        self._folder = unquote(self._base.path)
        # A name by itself is one of the folder only if the address is that of a folder.
        self._in_folder = self._base.path.endswith("/")
        self._waiting = bytearray()
        self._silence = 0
        self._text = codecs.getincrementaldecoder("utf-8")("replace")
        self._tokenizer = Tokenizer()
        self._begins, self._ends = TokenType.START_TAG, TokenType.END_TAG
        self._is_text = TokenType.TEXT

    def feed(self, piece: bytes) -> None:
        """Read on.

        Raises
        ------
        PermanentError
            It is beyond what a directory listing can be.
        """
        self._waiting += piece
        if len(self._waiting) < BLOCK:
            return
        text = self._text.decode(bytes(self._waiting))
        self._waiting.clear()
        for start in range(0, len(text), BLOCK):
            self._read(text[start : start + BLOCK])

    def close(self) -> None:
        """Read what is left at the end of the page."""
        text = self._text.decode(bytes(self._waiting), final=True)
        self._waiting.clear()
        self._read(text)
        self._take(self._tokenizer.close())

    def visits(self) -> list[Visit]:
        """Return the visits that the page has a tarball of, by id."""
        return [Visit(self.project, name) for name in sorted(self._ids)]

    def left_out(self) -> list[str]:
        """Return the names of tarballs that give no visit id, as they came, sorted.

        At most :data:`NAMED`, the first on the page.
        """
        return sorted(self._left_out)

    def _read(self, text: str) -> None:
        if self._take(self._tokenizer.feed(text)):
            self._silence = 0
        else:
            # All of it is kept until the tag or text that it belongs to ends.
            self._silence += len(text)
        if self._silence > MAX_TAG:
            raise PermanentError(
                f"{self.address} is no directory listing: nothing in {self._silence} "
                "characters is a tag",
                hint=_HINT,
                cause="store-answer",
            )

    def _take(self, tokens: Iterator[Token]) -> bool:
        """Take the links out of `tokens`; tell whether there were any tokens."""
        any_token = False
        for token in tokens:
            any_token = True
            if token.type is self._begins and token.tag == "a":
                href = token.attr("href")
                self._of, self._behind = None, False
                if href and len(href) <= MAX_HREF and (name := self._name(href.strip())):
                    self._of = self._add(name)
            elif self._of is None:
                continue
            elif token.type is self._ends and token.tag == "a":
                self._behind = True
            elif token.type is self._is_text and self._behind:
                self._note_size(token.data or "")
        return any_token

    def _name(self, href: str) -> str | None:
        """Return the path below this folder that a link leads to, None outside."""
        if self._in_folder and _PLAIN.fullmatch(href):
            # Nearly all are like this: a twentieth of the time of what follows.
            return href
        try:
            link = urlsplit(urljoin(self.address, href))
        except ValueError:
            return None
        path = unquote(link.path)
        here = (link.scheme, link.netloc) == (self._base.scheme, self._base.netloc)
        if here and not link.query and path.startswith(self._folder):
            return path.removeprefix(self._folder)
        return None

    def _note_size(self, text: str) -> None:
        """Take the size of the tarball of the last link out of the text behind it."""
        if self._of and (found := _SIZE.search(text[:_MOST_TEXT])):
            self.sizes[self._of] = round(float(found[1]) * _UNITS[found[2]])
            self._of = None

    def _add(self, name: str) -> str | None:
        """Take note of a tarball; return the id of its visit."""
        if not name.endswith(TAR_SUFFIX) or "/" in name:
            return None
        if visit := Visit.of_tarball(self.project, name):
            self._ids.add(visit.id)
            if len(self._ids) > MAX_VISITS:
                raise PermanentError(
                    f"{self.address} lists more than {MAX_VISITS} visits",
                    hint=_HINT,
                    cause="store-answer",
                )
            return visit.id
        if len(self._left_out) < NAMED:
            self._left_out.add(name)
        elif name not in self._left_out:
            self.more_left_out += 1
        return None
