"""The remote program: what it reads by range, what it hands on, what it says."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from annexremote import RemoteError, UnsupportedRequest

from icfqueue.client.icfrange import IcfRange
from icfqueue.client.range_reader import NotByRangeError, Part

IMAGE = b"an image"
MD5 = hashlib.md5(IMAGE).hexdigest()
KEY = f"MD5E-s{len(IMAGE)}--{MD5}.dcm"
TARBALL = "MD5E-s10240--0123456789abcdef0123456789abcdef.tar"
URL = "https://store.example.org/study_1/v_dicom.tar"
LOCATOR = f"dl+archive:{TARBALL}#path=a#b&size=9.dcm&size={len(IMAGE)}"


class Annex:
    """Stands in for git-annex: what it would answer, and what it was told."""

    def __init__(self, gitdir: Path) -> None:
        self.gitdir = gitdir
        self.urls = {KEY: [LOCATOR], TARBALL: [URL]}
        self.state = "offset=512"
        self.said: list[str] = []
        self.moved: list[int] = []

    def geturls(self, key: str, prefix: str) -> list[str]:
        return [url for url in self.urls.get(key, []) if url.startswith(prefix)]

    def getstate(self, _: str) -> str:
        return self.state

    def getgitdir(self) -> str:
        return str(self.gitdir)

    def dirhash(self, _: str) -> str:
        return "aA/bB/"

    def dirhash_lower(self, _: str) -> str:
        return "abc/def/"

    def info(self, words: str) -> None:
        self.said.append(words)

    def progress(self, count: int) -> None:
        self.moved.append(count)


class Reader:
    """Stands in for the web: the parts that were asked for."""

    def __init__(self) -> None:
        self.asked: list[Part] = []
        self.fault: Exception | None = None
        self.closed = False

    def read(self, part: Part, target: Path, progress: Any) -> None:
        self.asked.append(part)
        if self.fault:
            raise self.fault
        target.write_bytes(IMAGE)
        progress(len(IMAGE))

    def close(self) -> None:
        self.closed = True


class Archivist:
    """Stands in for datalad-next's program."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def transfer_retrieve(self, key: str, filename: str) -> None:
        self.calls.append(("retrieve", key))
        Path(filename).write_bytes(b"by the archivist")

    def __getattr__(self, name: str) -> Any:
        def call(argument: str) -> bool:
            self.calls.append((name, argument))
            return True

        return call


class Remote(IcfRange):
    def __init__(self, annex: Annex) -> None:
        super().__init__(annex)
        self.web = self._reader = Reader()  # type: ignore[assignment]  # what is used of it
        self.old = self._archivist = Archivist()


@pytest.fixture
def annex(tmp_path: Path) -> Annex:
    return Annex(tmp_path / "git")


@pytest.fixture
def remote(annex: Annex) -> Remote:
    return Remote(annex)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


def test_an_image_is_read_from_its_place_in_the_tarball(
    remote: Remote, annex: Annex, target: Path
) -> None:
    remote.transfer_retrieve(KEY, str(target))
    assert remote.web.asked == [Part(URL, 512, len(IMAGE), 10240, MD5)]
    assert target.read_bytes() == IMAGE
    assert annex.moved == [len(IMAGE)]
    assert (annex.said, remote.old.calls) == ([], [])


@pytest.mark.parametrize("hashed", ["aA/bB", "abc/def"])
def test_with_the_tarball_here_the_archivist_is_asked(
    remote: Remote, annex: Annex, target: Path, hashed: str
) -> None:
    place = annex.gitdir / "annex/objects" / hashed / TARBALL
    place.mkdir(parents=True)
    (place / TARBALL).touch()
    remote.transfer_retrieve(KEY, str(target))
    assert remote.old.calls == [("retrieve", KEY)]
    assert (remote.web.asked, annex.said) == ([], [])


@pytest.mark.parametrize(
    ("key", "urls"),
    [
        (f"SHA256E-s{len(IMAGE)}--{'0' * 64}.dcm", [LOCATOR]),
        (KEY, []),
        (KEY, ["dl+archive:URL--x#path=a&size=8"]),
        (KEY, [LOCATOR.replace("size=8", "size=9")]),
        (f"MD5E-s0--{MD5}.dcm", [LOCATOR]),
    ],
)
def test_what_is_not_of_our_making_goes_to_the_archivist_without_a_word(
    remote: Remote, annex: Annex, target: Path, key: str, urls: list[str]
) -> None:
    annex.urls[key] = urls
    remote.transfer_retrieve(key, str(target))
    assert remote.old.calls == [("retrieve", key)]
    assert (remote.web.asked, annex.said) == ([], [])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"state": ""}, "does not say where images begin"),
        ({"state": "something else"}, "does not say where images begin"),
        ({"urls": {KEY: [LOCATOR], TARBALL: ["ftp://x/y"]}}, "no web address"),
        ({"fault": NotByRangeError("the server is odd")}, "the server is odd"),
    ],
)
def test_what_is_missing_or_fails_is_said_once_and_the_archivist_is_asked(
    remote: Remote, annex: Annex, target: Path, changed: dict[str, Any], words: str
) -> None:
    remote.web.fault = changed.pop("fault", None)
    vars(annex).update(changed)
    for _ in range(3):
        remote.transfer_retrieve(KEY, str(target))
    (said,) = annex.said
    assert words in said
    assert "the whole tarball is tried" in said
    assert remote.old.calls == [("retrieve", KEY)] * 3
    assert target.read_bytes() == b"by the archivist"


def test_of_several_places_one_is_enough(
    remote: Remote, annex: Annex, target: Path
) -> None:
    annex.state = "offset=2048,4096"
    remote.transfer_retrieve(KEY, str(target))
    assert [part.start for part in remote.web.asked] == [2048]


def test_a_full_disk_is_no_reason_to_download_the_tarball(
    remote: Remote, annex: Annex, target: Path
) -> None:
    remote.web.fault = OSError(28, "No space left on device")
    with pytest.raises(RemoteError, match="No space left"):
        remote.transfer_retrieve(KEY, str(target))
    assert (remote.old.calls, annex.said) == ([], [])


def test_questions_are_the_archivists_and_changes_are_refused(remote: Remote) -> None:
    assert remote.claimurl(LOCATOR)
    assert remote.checkurl(LOCATOR)
    assert remote.checkpresent(KEY)
    assert [name for name, _ in remote.old.calls] == [
        "claimurl",
        "checkurl",
        "checkpresent",
    ]
    with pytest.raises(UnsupportedRequest):
        remote.transfer_store(KEY, "x")
    with pytest.raises(UnsupportedRequest):
        remote.remove(KEY)
    remote.initremote()
    remote.prepare()
    remote.stop()
    assert remote.web.closed


def test_the_program_speaks_git_annexs_protocol_and_is_quick_to_start() -> None:
    """Nothing of DataLad is loaded before it is needed."""
    code = (
        "import sys; from icfqueue.client.icfrange import main; main()\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'datalad', 'datalad_next', 'requests'}, loaded"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input="EXTENSIONS INFO ASYNC\nPREPARE\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    first, _, last = done.stdout.splitlines()
    assert first.startswith("VERSION ")
    assert last == "PREPARE-SUCCESS"
