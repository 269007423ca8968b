"""A directory listing: read as it arrives, whatever a store writes into it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator

import pytest
from support.raw_server import ROW, RawServer, listing
from turbohtml import Tokenizer

from icfqueue.core.errors import PermanentError
from icfqueue.remote import listing as module
from icfqueue.remote.listing import BLOCK, MAX_HREF, MAX_TAG, NAMED, Listing

ADDRESS = "https://data.example.org/study_1/"


def read(page: bytes, step: int = 1 << 20) -> Listing:
    found = Listing("study_1", ADDRESS)
    for start in range(0, len(page), step):
        found.feed(page[start : start + step])
    found.close()
    return found


def ids(found: Listing) -> list[str]:
    return [visit.id for visit in found.visits()]


HOSTILE: dict[str, Callable[[int], str]] = {
    "less than": lambda n: "<" * n,
    "begun tags": lambda n: "<a " * (n // 3),
    "ampersands": lambda n: "&" * n,
    "entities": lambda n: "&amp" * (n // 4),
    "numbers": lambda n: "&#" + "9" * n,
    "links of entities": lambda n: '<a href="' + "&notin" * (n // 6) + '">',
    "quotes": lambda n: "<a href=" + "\"'" * (n // 2),
    "nested tags": lambda n: "<div>" * (n // 5),
    "wrong ends": lambda n: "<b>" * (n // 7) + "</i>" * (n // 7),
    "begun comments": lambda n: "<!--" * (n // 4),
    "dashes": lambda n: "<!-- -" * (n // 6),
    "declarations": lambda n: "<!" * (n // 2),
    "instructions": lambda n: "<?" * (n // 2),
    "sections": lambda n: "<![CDATA[" * (n // 9),
    "scripts": lambda n: "<script><!--" + "<script>" * (n // 8),
    "titles": lambda n: "<title>" + "</titl" * (n // 6),
    "never closed attribute": lambda n: '<a href="' + "x" * n,
    "many attributes": lambda n: "<a " + " ".join(f"a{i}" for i in range(n // 6)) + ">",
    "links": lambda n: "<a href=../x>" * (n // 13),
    "climbing link": lambda n: '<a href="' + "../" * (n // 3) + '">',
    "percents": lambda n: "<a href=%%%%_dicom.tar>" * (n // 23),
    "nothing": lambda n: "\0" * n,
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("step", [1, 1 << 16])
def test_a_malformed_page_costs_no_more_than_its_length(
    name: str, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work is counted: what the tokenizer gets, in how many calls, and what it gives.

    The time of this process alone is looked at last; the parser that was here before
    took 9, 32 and over 60 seconds for some of these lengths.
    """
    calls: list[int] = []
    tokens = 0

    class Counting:
        def __init__(self) -> None:
            self.tokenizer = Tokenizer()

        def feed(self, text: str) -> Iterator[object]:
            calls.append(len(text))
            return self.count(self.tokenizer.feed(text))

        def close(self) -> Iterator[object]:
            return self.count(self.tokenizer.close())

        def count(self, found: Iterable[object]) -> Iterator[object]:
            nonlocal tokens
            for token in found:
                tokens += 1
                yield token

    monkeypatch.setattr("turbohtml.Tokenizer", Counting)
    for length in (20_000, 40_000, 80_000):
        calls.clear()
        tokens = 0
        page = HOSTILE[name](length).encode()
        began = time.process_time()
        found = read(page, step)
        spent = time.process_time() - began
        assert sum(calls) == len(page)
        assert len(calls) <= len(page) // BLOCK + 2
        assert tokens <= len(page)
        assert ids(found) == []
        assert spent < 3.0


def test_a_page_that_comes_in_single_bytes_gives_the_same() -> None:
    """Also where letters, tags and names are cut in two."""
    page = "".join(ROW.format(f"{name}_dicom.tar") for name in ("a", "b", "täx", "c&amp;d"))
    whole, single = read(page.encode()), read(page.encode(), 1)
    assert ids(whole) == ids(single) == ["a", "b"]
    assert whole.left_out() == single.left_out() == ["c&d_dicom.tar", "täx_dicom.tar"]


def test_what_is_no_utf_8_hides_no_visit() -> None:
    page = b"\xff\xfe<a href=\xe4_dicom.tar>x</a>\xc3<a href=a_dicom.tar>\xed\xa0\x80"
    found = read(page)
    assert ids(found) == ["a"]
    assert found.left_out() == ["\ufffd_dicom.tar"]


def test_a_page_without_tags_is_no_listing() -> None:
    """It would have to be kept as a whole until its end."""
    for begin in (b"", b'<a href="', b"<!-- ", b"<a "):
        with pytest.raises(PermanentError, match="is a tag") as caught:
            read(begin + b"x" * (MAX_TAG + 3 * BLOCK))
        assert "--visits-file" in caught.value.hint


def test_a_link_that_is_too_long_for_a_file_is_passed_over() -> None:
    page = f"<a href={'x' * MAX_HREF}_dicom.tar><a href=a_dicom.tar>"
    found = read(page.encode())
    assert ids(found) == ["a"]
    assert found.left_out() == []


def test_more_visits_than_a_project_has_are_refused_with_a_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_VISITS", 100)
    rows = [ROW.format(f"v{number}_dicom.tar") for number in range(101)]
    assert len(ids(read("".join(rows[:100] * 2).encode()))) == 100
    with pytest.raises(PermanentError, match="lists more than 100 visits"):
        read("".join(rows).encode())


def test_of_many_strange_names_a_few_are_kept_and_the_others_counted() -> None:
    page = "".join(ROW.format(f"%20{number:04}_dicom.tar") for number in range(5 * NAMED))
    found = read(page.encode())
    assert found.left_out() == [f" {number:04}_dicom.tar" for number in range(NAMED)]
    assert found.more_left_out == 4 * NAMED


MEASURE = """
import resource, sys
from icfqueue.remote.client import RemoteStore
for _ in range(2):
    with RemoteStore(sys.argv[1]) as remote:
        found = len(remote.visits(sys.argv[2]))
    print(found, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_a_long_listing_takes_no_more_memory_than_a_short_one() -> None:
    """The page is not kept: ten times as many files of other kinds, the same memory."""
    counts = {"short": 4_000, "long": 40_000}

    def answer(path: str) -> Iterator[bytes]:
        count = counts[path.strip("/")]
        yield from listing(f"visit_{n:07}_dicom.tar.md5sum" for n in range(count))

    peaks = {}
    with RawServer(answer) as web:
        for name in counts:
            command = [sys.executable, "-c", MEASURE, web.url, name]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found, peak = done.stdout.splitlines()[-1].split()
            assert found == "0"
            peaks[name] = int(peak)
    # The longer page has 8 MB more.
    assert peaks["long"] - peaks["short"] < 3_000, peaks


LISTING = """<html><body><h1>Index of /study_1</h1><table>
<a href="?C=N;O=D">Name</a> <a href="?C=M;O=A">Last modified</a>
<a href="/">Parent Directory</a> <a href="../">up</a>
<A HREF="plain_dicom.tar">plain_dicom.tar</A>
<a href='single_dicom.tar'>quotes</a>
<a href="./dot_dicom.tar">./</a>
<a href="/study_1/absolute_dicom.tar">absolute path</a>
<a href="https://data.example.org/study_1/full_dicom.tar">full</a>
<a href="%65ncoded_dicom.tar">percent</a>
<a href="entity&#95;dicom.tar">entity</a>
<a href="plain_dicom.tar">twice</a>
<a href="plain_dicom.tar.md5sum">sum</a>
<a href="folder_dicom.tar/">a folder</a>
<a href="sub/inner_dicom.tar">in a folder</a>
<a href="sub%2Finner2_dicom.tar">hidden slash</a>
<a href="../study_2/other_dicom.tar">another project</a>
<a href="https://elsewhere.example.org/study_1/far_dicom.tar">another host</a>
<a href="http://data.example.org/study_1/insecure_dicom.tar">another scheme</a>
<a href="asked_dicom.tar?x=1">query</a>
<a href="-dash_dicom.tar">bad id</a> <a href=".hidden_dicom.tar">bad id</a>
<a href="with%20space_dicom.tar">bad id</a> <a href="%00_dicom.tar">bad id</a>
<a href="..%2F..%2Fetc_dicom.tar">climbs</a> <a href="t%C3%A4r_dicom.tar">umlaut</a>
<a href="_dicom.tar">no id</a> <a href="upper_DICOM.TAR">upper</a>
<a href="javascript:alert(1)">script</a> <a href="http://[broken_dicom.tar">broken</a>
<a name="anchor">no link</a> <a href>empty</a> <!-- <a href="comment_dicom.tar"> -->
<a href="unclosed_dicom.tar">"""


def listed(address: str, page: str) -> Listing:
    found = Listing("study_1", address)
    found.feed(page.encode())
    found.close()
    return found


def test_a_listing_gives_the_tarballs_right_in_the_folder_and_nothing_else() -> None:
    found = listed(ADDRESS, LISTING).visits()
    assert [visit.id for visit in found] == [
        "absolute",
        "dot",
        "encoded",
        "entity",
        "full",
        "plain",
        "single",
        "unclosed",
    ]


def test_a_listing_below_a_folder_with_an_encoded_name_is_read() -> None:
    page = '<a href="/%7Eicf/study_1/a_dicom.tar"></a><a href="b_dicom.tar"></a>'
    found = listed("https://example.org/~icf/study_1/", page).visits()
    assert [visit.id for visit in found] == ["a", "b"]


NGINX = """<pre><a href="../">../</a>
<a href="a_dicom.tar">a_dicom.tar</a>             28-Nov-2026 10:00          10305669120
<a href="a_dicom.tar.md5sum">a_dicom.tar.md5sum</a>      28-Nov-2026 10:00            50
<a href="b_dicom.tar">b_dicom.tar</a>             28-Nov-2026 10:00                   -
</pre>"""

APACHE = """<table><tr><td><a href="a_dicom.tar">a_dicom.tar</a></td>
<td align="right">2026-11-28 10:00  </td><td align="right">1.5G</td><td>&nbsp;</td></tr>
<tr><td><a href="b_dicom.tar">b_dicom.tar</a></td><td align="right">2026-11-28 10:00
</td><td align="right"> 99K</td><td>2024 scan</td></tr></table>"""

CADDY = """<tr><td><a href="./a_dicom.tar"><span>a_dicom.tar</span></a></td>
<td data-order="1610612736">1.5 GiB</td><td><time>11/28/2026</time></td></tr>"""


@pytest.mark.parametrize(
    ("page", "sizes"),
    [
        (NGINX, {"a": 10305669120}),
        (APACHE, {"a": 3 << 29, "b": 99 << 10}),
        (CADDY, {"a": 3 << 29}),
        ('<a href="a_dicom.tar">a_dicom.tar 17</a> 2026-11-28 10:00:01', {}),
        ('<a href="a_dicom.tar"></a><a href="x">x</a> 17', {}),
    ],
    ids=["nginx", "apache", "caddy", "none", "of another file"],
)
def test_sizes_are_read_as_servers_write_them(page: str, sizes: dict[str, int]) -> None:
    assert listed(ADDRESS, page).sizes == sizes


def test_tarballs_that_give_no_visit_are_named() -> None:
    """Only what lies right in the folder, is a tarball, and is called amiss."""
    found = listed(ADDRESS, LISTING).left_out()
    assert set(found) == {
        *("-dash_dicom.tar", ".hidden_dicom.tar", "with space_dicom.tar"),
        *("\0_dicom.tar", "tär_dicom.tar", "_dicom.tar"),
    }
    assert found == sorted(found)


PAGES = ["", "no html", "<a href=", "<a href='x'", "\0", "<" * 9999]


@pytest.mark.parametrize("page", PAGES)
def test_any_page_gives_a_list(page: str) -> None:
    assert listed(ADDRESS, page).visits() == []
    assert listed(ADDRESS, page).left_out() == []
