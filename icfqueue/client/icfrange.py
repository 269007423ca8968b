"""``git-annex-remote-icfrange``: datalad-next's *archivist*, but one image at a time.

A clone uses it for its remote ``archivist`` after
``git config remote.archivist.annex-externaltype icfrange``. An image whose tarball is not
here is read by HTTP Range from the tarball's own URL; where in the tarball it begins
stands in the dataset (:mod:`icfqueue.dataset.member_state`). For all else, and whenever
something is not as expected, the *archivist* does what it always does.

Sources: https://git-annex.branchable.com/design/external_special_remote_protocol/,
datalad-next's ``annexremotes/archivist.py`` (what is handed on).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annexremote import Master, RemoteError, SpecialRemote, UnsupportedRequest

from icfqueue.client.range_reader import NotByRangeError, Part, RangeReader
from icfqueue.dataset.member_state import decode_state
from icfqueue.remote import quiet_datalad

if TYPE_CHECKING:
    from datalad_next.annexremotes.archivist import ArchivistRemote

LOCATOR = re.compile(
    r"dl\+archive:(?P<tarball>[^#]+)#path=.+&size=(?P<size>\d+)", re.DOTALL
)
"""As :mod:`icfqueue.dataset.branches` writes it."""

_KEY = re.compile(r"MD5E?-s(?P<size>\d+)--(?P<md5>[0-9a-f]{32})(?:\..*)?", re.ASCII)


class IcfRange(SpecialRemote):  # type: ignore[misc]  # annexremote is untyped
    """Reads members of tarballs by HTTP Range; hands all else on to the archivist."""

    def __init__(self, annex: Any) -> None:
        super().__init__(annex)
        quiet_datalad.hand_on_login()
        self._reader = RangeReader()
        self._archivist: ArchivistRemote | None = None
        self._said: set[str] = set()
        self._urls: dict[str, str | None] = {}

    @property
    def archivist(self) -> ArchivistRemote:
        """The real one, made when it is first needed: DataLad takes long to import."""
        if self._archivist is None:
            from datalad_next.annexremotes.archivist import ArchivistRemote

            self._archivist = ArchivistRemote(self.annex)
            self._archivist.prepare()
        return self._archivist

    def initremote(self) -> None:
        """Accept any configuration, as the archivist does."""

    def prepare(self) -> None:
        """Need nothing until there is something to do."""

    def stop(self) -> None:
        """Close the connections."""
        self._reader.close()

    def claimurl(self, url: str) -> bool:
        """Return whether `url` is a locator of a member."""
        return bool(self.archivist.claimurl(url))

    def checkurl(self, url: str) -> Any:
        """Return whether `url` is a usable locator."""
        return self.archivist.checkurl(url)

    def checkpresent(self, key: str) -> bool:
        """Return whether the tarball of `key` is still to be had."""
        return bool(self.archivist.checkpresent(key))

    def transfer_store(self, key: str, filename: str) -> None:  # noqa: ARG002 - the protocol's
        """Refuse: a tarball is not written to."""
        raise UnsupportedRequest("This remote cannot store content")

    def remove(self, key: str) -> None:  # noqa: ARG002 - the protocol's
        """Refuse: a tarball is not written to."""
        raise UnsupportedRequest("This remote cannot remove content")

    def transfer_retrieve(self, key: str, filename: str) -> None:
        """Write the content of `key` into the file `filename`.

        Raises
        ------
        RemoteError
            Neither the image alone nor the tarball can be had.
        """
        why = ""
        try:
            part = self._part(key)
            if part is not None:
                self._reader.read(part, Path(filename), self.annex.progress)
                return
        except NotByRangeError as error:
            why = f"icfrange: {error}; "
            self._say(f"{why}the whole tarball is tried")
        except OSError as error:
            raise RemoteError(f"{filename} cannot be written: {error.strerror}") from error
        try:
            self.archivist.transfer_retrieve(key, filename)
        except RemoteError as error:
            # DataLad shows what is said of the failure, and nothing that was said before.
            raise RemoteError(f"{why}{error}") from error

    def _part(self, key: str) -> Part | None:
        """Return what to ask the store for; None if the archivist is to be asked.

        Raises
        ------
        NotByRangeError
            The dataset does not say enough.
        """
        named = _KEY.fullmatch(key)
        located = [
            found
            for url in self.annex.geturls(key, "dl+archive:")
            if (found := LOCATOR.fullmatch(url))
        ]
        if named is None or not located:
            return None
        tarball, size = located[0]["tarball"], int(located[0]["size"])
        whole = _KEY.fullmatch(tarball)
        if whole is None or self._is_here(tarball):
            return None
        offsets = decode_state(self.annex.getstate(key))
        if not offsets:
            raise NotByRangeError("the dataset does not say where images begin")
        if size != int(named["size"]) or size == 0:
            return None
        url = self._url(tarball)
        if url is None:
            raise NotByRangeError("the dataset names no web address of the tarball")
        return Part(url, offsets[0], size, int(whole["size"]), named["md5"])

    def _is_here(self, key: str) -> bool:
        """Return whether the content of `key` is in this repository's annex.

        Source: https://git-annex.branchable.com/internals/ (``annex/objects``: mixed
        hash directories in a repository with a work tree, lower case ones in a bare one).
        """
        objects = Path(self.annex.getgitdir()) / "annex" / "objects"
        return any(
            (objects / hashed / key / key).exists()
            for hashed in (self.annex.dirhash(key), self.annex.dirhash_lower(key))
        )

    def _url(self, tarball: str) -> str | None:
        if tarball not in self._urls:
            found = [*self.annex.geturls(tarball, "https:")]
            found += [*self.annex.geturls(tarball, "http:")]
            self._urls[tarball] = found[0] if found else None
        return self._urls[tarball]

    def _say(self, words: str) -> None:
        """Tell the user, once for each reason."""
        if words not in self._said:
            self._said.add(words)
            self.annex.info(words)


def main() -> None:
    """Serve git-annex on standard input and output until it is done."""
    master = Master()
    remote = IcfRange(master)
    master.LinkRemote(remote)
    master.Listen()
    remote.stop()
