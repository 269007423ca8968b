"""Identifiers before they are published: what is found, what by mistake, what it costs.

``python -m benchmarks.identifiers`` plants names, ids and dates of invented people of many
scripts in member paths and tags, one a tarball, and prints how many are found; then it
compares the same people with paths in which nobody is. ``--cost`` measures the index pass
with and without looking, in turn.
"""

from __future__ import annotations

import argparse
import io
import os
import struct
import tarfile
import time
import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from statistics import median
from typing import NamedTuple

from benchmarks import inputs
from benchmarks.inputs import is_real
from icfqueue.core.options import Identifiers
from icfqueue.core.visit import Visit
from icfqueue.tarball.dicom_tags import TagReader
from icfqueue.tarball.identifiers.watch import Watch
from icfqueue.tarball.scan import index_stream

VISIT = Visit("study_1", "visit_a")


class Person(NamedTuple):
    """An invented person.

    Attributes
    ----------
    charset
        SpecificCharacterSet of the files, and Python's name for it.
    name
        As PatientName has it.
    written
        Ways in which people write it in file names: all are to be found.
    """

    charset: tuple[str, str]
    name: str
    written: tuple[str, ...] = ()
    id: str = "PAT0048213"
    birth_date: str = "19620827"
    other_id: str = "KH-77 31 905"
    accession: str = "A2013/55921"


LATIN, UTF8 = ("ISO_IR 100", "latin-1"), ("ISO_IR 192", "utf-8")
NONE = ("", "latin-1")
PEOPLE = (
    Person(
        LATIN, "Müller^Jürgen", ("Mueller", "Muller", "JürgenMüller", "mueller_juergen")
    ),
    Person(UTF8, "Weiß^Anke", ("Weiss_T1", "anke-weiss", "WEISS", "AWeiss", "Anke")),
    Person(NONE, "Strößner^Käthe", ("Stroessner", "strossner.k", "Käthe", "KAETHE")),
    Person(LATIN, "Lefèvre^Chloé^Anaïs", ("lefevre", "Lefèvre", "chloe lefevre", "Anais")),
    Person(LATIN, "Núñez^José", ("Nunez", "Núñez_José", "jose.nunez", "JNunez")),
    Person(LATIN, "Sørensen^Bjørn", ("Sorensen", "Soerensen", "bjorn", "SØRENSEN-1")),
    Person(UTF8, "Åström^Åsa", ("Astrom", "Aastroem", "astrom_asa", "ÅSTRÖM")),
    Person(UTF8, "Łukasiewicz^Paweł", ("Lukasiewicz", "pawel", "Łukasiewicz", "pawel_l")),
    Person(UTF8, "Dvořák^Jiří", ("Dvorak", "dvořák", "JiriDvorak", "jiri")),
    Person(UTF8, "Yıldız^İbrahim", ("Yildiz", "YILDIZ", "ibrahim", "Yıldız_İbrahim")),
    Person(UTF8, "Nguyễn^Thị Hương", ("Nguyen", "huong nguyen", "Nguyễn", "NGUYEN_T2")),
    Person(UTF8, "Þórsson^Eiður", ("Thorsson", "eidur", "þórsson", "Thorsson_Eidur")),
    Person(LATIN, "van den Berg^Pieter", ("vandenberg", "van_den_Berg", "Pieter", "Berg1")),
    Person(LATIN, "O'Connor^Siobhán", ("OConnor", "o'connor", "Connor", "siobhan")),
    Person(
        LATIN,
        "Jane_Placeholder",
        ("Jane", "placeholder", "JanePlaceholder", "JPlaceholder"),
    ),
    Person(
        LATIN, "SCHMIDT-ROTTLUFF^KARL", ("Schmidt", "rottluff", "SchmidtRottluff", "karl")
    ),
    Person(
        ("ISO_IR 144", "iso8859_5"), "Люксембург^Роза", ("Люксембург", "ЛЮКСЕМБУРГ", "роза")
    ),
    Person(UTF8, "Королёв^Сергей", ("Королев", "королёв_т1", "Сергей", "СергейКоролев")),
    Person(UTF8, "Шевченко^Тарас", ("шевченко", "Тарас", "Шевченко-Т", "тарасшевченко")),
    Person(
        ("ISO_IR 126", "iso8859_7"), "Διονυσίου^Ελένη", ("Διονυσιου", "ΕΛΕΝΗ", "Διονυσίου")
    ),
    Person(UTF8, "Παπαδόπουλος^Νίκος", ("παπαδοπουλοσ", "Νίκος", "ΠΑΠΑΔΟΠΟΥΛΟΣ")),
    Person(
        ("\\ISO 2022 IR 87", "iso2022_jp"),
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
        ("yamada", "山田太郎", "太郎_T1", "ヤマダ", "Tarou Yamada", "やまだたろう"),
    ),
    Person(
        UTF8, "Suzuki^Hanako=鈴木^花子=すずき^はなこ", ("鈴木", "花子", "スズキ", "Hanako")
    ),
    Person(UTF8, "Satō^Jun=佐藤^純=さとう^じゅん", ("佐藤純", "Sato", "サトウ", "JunSato")),
    Person(
        ("\\ISO 2022 IR 149", "korean"),
        "Hong^Gildong=洪^吉洞=홍^길동",
        ("Gildong", "홍길동", "길동", "洪吉洞", "HongGildong"),
    ),
    Person(
        UTF8, "Park^Jihyun=朴^智賢=박^지현", ("박지현", "지현_1", "Jihyun", "park_jihyun")
    ),
    Person(("GB18030", "gb18030"), "Wang^XiaoDong=王^小东", ("王小东", "小东", "xiaodong")),
    Person(NONE, "Kim^Min", ("KimMin", "kim_min", "MIN-KIM", "minkim_t1")),
    Person(UTF8, "علي^حسن", ("علي", "حسن_1", "عَلِي")),
    Person(UTF8, "Zhang^Meiling=張^美玲", ("張美玲", "美玲", "Zhang", "meilingzhang")),
    Person(("ISO_IR 127", "iso8859_6"), "قباني^لنزار", ("قباني", "لنزار", "قباني_لنزار")),
    Person(UTF8, "الأحمد^فاطمة", ("الأحمد", "الاحمد", "فاطمة", "فَاطِمَة")),
    Person(("ISO_IR 138", "iso8859_8"), "שרון^דבורה", ("שרון", "דבורה", "דבורה-שרון")),
    Person(("ISO_IR 166", "tis_620"), "สมชาย^วิชัย", ("สมชาย", "วิชัย")),
    Person(UTF8, "शर्मा^प्रिया", ("शर्मा", "प्रिया_1")),
)

NUMBERED = (
    # As in the header, and as written.
    (
        "id",
        "PAT0048213",
        ("PAT0048213", "pat-0048213", "48213", "0048213_t1", "p.a.t0048213"),
    ),
    ("id", "83914627", ("83914627", "0083914627", "id83914627x")),
    ("id", "12-345-678", ("12345678", "12_345_678", "12-345-678")),
    ("id", "Köln#4711a", ("koeln4711a", "Koln_4711A", "4711a")),
    ("other-id", "KH-77 31 905", ("KH7731905", "kh_77_31_905", "7731905")),
    ("accession", "A2013/55921", ("A2013_55921", "a201355921", "55921")),
)
DATES = (
    *("19620827", "1962-08-27", "1962_08_27", "27.08.1962", "27-08-1962", "27081962"),
    *("620827", "270862", "27.08.62", "62-08-27", "08-27-1962", "27.8.1962", "1962/08/27"),
    *("27Aug1962", "27-Aug-1962", "aug_27_1962", "dob19620827"),
)

HARD = (
    # Ways that are not looked for, or cannot be told from what else is in paths.
    ("Müller^Jürgen", ("MueJue", "Mu_el_ler", "Muler", "jue")),
    ("Kim^Min", ("kim", "min", "k_min")),
    ("Weiß^Anke", ("Weisz", "A_W", "ekna")),
    ("Люксембург^Роза", ("Lyuksemburg", "Luxemburg_roza")),
    ("王^小东", ("Wang_Xiaodong", "王")),
    ("Schneider^Dorothea", ("Dorle", "Schn", "Schneid3r")),
)

INNOCENT = (
    *(
        "sub-01_ses-1_T1w",
        "AAHead_Scout_64ch",
        "MPRAGE_iso0.8",
        "gre_field_mapping",
        "anat-T1w",
    ),
    *(
        "func_task-oneback_run-1",
        "IM_0001",
        "IM00048",
        "MR.1.3.46.670589.11.38317.5.0.4476",
    ),
    *("1.2.840.113619.2.5.1762583153.215519.978957063.78", "N2D_0001", "ep2d_bold_TR2000"),
    *("t2_tse_tra_512", "dwi_AP_b1000", "localizer", "20130717_131500", "scan-2014-04-25"),
    *(
        "Abdomen_venous",
        "ANGIO Projected from C",
        "CT_5mm_B31f",
        "series_001",
        "mineralmap",
    ),
    *(
        "PhysioLog_pulse",
        "rest_eyes_open",
        "weissmatter",
        "preliminary",
        "karlsruhe_protocol",
    ),
    *(
        "petra_ute",
        "SWI_mag_pha",
        "mIP_Images(SW)",
        "asl_3d_tra_iso",
        "MoCoSeries",
        "DICOMDIR2",
    ),
)
"""What paths and tags are like; ``karlsruhe`` holds "karl", ``preliminary`` "Li^Min"."""


class Case(NamedTuple):
    """A tarball of one image.

    Attributes
    ----------
    kind
        Of what is planted; empty for nothing.
    place
        ``path``, ``folder`` or ``tag``.
    """

    kind: str
    person: Person
    place: str
    text: str


def planted() -> Iterator[Case]:
    """Yield the cases that are to be found, each way in a path, a folder or a tag."""
    places = ("path", "tag", "folder")
    count = 0
    for person in PEOPLE:
        for text in person.written:
            for way in dict.fromkeys((text, unicodedata.normalize("NFD", text))):
                yield Case("name", person, places[count % 3], way)
                count += 1
    bare = Person(LATIN, "Nobody^Known")
    for kind, value, written in NUMBERED:
        field = {"id": "id", "other-id": "other_id", "accession": "accession"}[kind]
        for text in written:
            for place in places:
                yield Case(kind, bare._replace(**{field: value}), place, text)
    for text in DATES:
        for place in places:
            if place != "path" or "/" not in text:
                yield Case("birth-date", bare, place, text)


def hard() -> Iterator[Case]:
    """Yield cases of which no one is promised to be found."""
    for name, written in HARD:
        for text in written:
            yield Case("name", Person(UTF8, name, ()), "path", text)


def innocent() -> Iterator[Case]:
    """Yield cases in which nobody is."""
    people = (*PEOPLE, Person(LATIN, "Li^Min", ()), Person(LATIN, "Head^Rose", ()))
    # An id that is the visit's own, the project's, or part of both.
    own = (
        Person(LATIN, "visit_a", (), id="visit-a"),
        Person(LATIN, "x", (), "study_1_visit_a"),
    )
    for number, person in enumerate((*people, *own)):
        for at, text in enumerate(INNOCENT):
            yield Case("", person, ("path", "tag", "folder")[(number + at) % 3], text)


def look(case: Case) -> Identifiers:
    """Index a tarball of one image; return what was found in it."""
    path, tag = "IM1.dcm", "t1"
    if case.place == "tag":
        tag = case.text
    elif case.place == "folder":
        path = f"{case.text}/{path}"
    else:
        path = f"x_{case.text}.dcm"
    name = f"study_1_visit_a/{path}"
    content = image(case.person, tag)
    watch = Watch(VISIT)
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.PAX_FORMAT) as out:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        out.addfile(info, io.BytesIO(content))
    tar.seek(0)
    index_stream(tar, io.BytesIO(), watch=watch)
    return watch.found


def image(person: Person, description: str) -> bytes:
    """Return a DICOM file of `person`, without pixels; the tag is in their charset."""
    charset, codec = person.charset
    if codec != "utf-8":
        # What is planted in a tag may have letters that the person's own set has not.
        with suppress(UnicodeEncodeError, LookupError):
            description.encode(codec)
            person.name.encode(codec)
            return _image(person, description, charset, codec)
        charset, codec = UTF8
    return _image(person, description, charset, codec)


def _image(person: Person, description: str, charset: str, codec: str) -> bytes:
    name = (
        _escaped(person.name) if charset.endswith("IR 149") else person.name.encode(codec)
    )
    text = description.encode(codec)
    if charset.endswith("IR 149") and not text.isascii():
        text = b"\x1b$)C" + text
    rows = (
        (0x00080005, b"CS", charset.encode()),
        (0x00080050, b"SH", person.accession.encode(codec)),
        (0x00080060, b"CS", b"MR"),
        (0x0008103E, b"LO", text),
        (0x00100010, b"PN", name),
        (0x00100020, b"LO", person.id.encode(codec)),
        (0x00100030, b"DA", person.birth_date.encode()),
        (0x00101000, b"LO", person.other_id.encode(codec)),
        (0x00200011, b"IS", b"3"),
    )
    meta = _element(0x00020010, b"UI", b"1.2.840.10008.1.2.1\0")
    body = b"".join(_element(*row) for row in rows if row[2])
    return bytes(128) + b"DICM" + meta + body


def _escaped(name: str) -> bytes:
    """Return a Korean name as ISO 2022 IR 149 has it: an escape before each component."""
    groups = []
    for group in name.split("="):
        parts = [part.encode("euc_kr") for part in group.split("^")]
        groups.append(b"^".join(p if p.isascii() else b"\x1b$)C" + p for p in parts))
    return b"=".join(groups)


def _element(tag: int, vr: bytes, value: bytes) -> bytes:
    value += b" " * (len(value) % 2)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def missed(cases: Iterator[Case]) -> tuple[int, list[Case]]:
    """Return how many cases there are, and those in which the planted was not found."""
    found = [(case, look(case)) for case in cases]
    return len(found), [case for case, said in found if case.kind not in said.kinds]


def alarms(cases: Iterator[Case]) -> tuple[int, list[Case]]:
    """Return how many cases there are, and those in which anything was found."""
    found = [(case, look(case)) for case in cases]
    return len(found), [case for case, said in found if said]


def figures() -> None:
    """Print recall and false alarms."""
    count, lost = missed(planted())
    kinds = Counter(case.kind for case in planted())
    told = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
    print(f"planted: {count} ({told}), found: {count - len(lost)}")
    for case in lost:
        print(f"  missed: {case.person.name} as {case.text} ({case.place})")
    count, lost = missed(hard())
    print(f"hard forms: {count}, found: {count - len(lost)}")
    count, wrong = alarms(innocent())
    print(f"nobody: {count}, alarms: {len(wrong)}")
    for case in wrong:
        print(f"  alarm: {case.person.name} in {case.text}")
    for kind in filter(is_real, inputs.SHAPES):
        count, found, people, wrong_people = real(kind)
        print(
            f"{kind} visit: {count} planted, {found} found; "
            f"{people} people, {wrong_people} alarms"
        )


REAL_FORMS = ("Jane", "jane-t1", "JaneDoe", "doe_jane", "01.01.1966", "19660101", "660101")
"""Ways of writing what the headers of both real visits say: Jane_Doe, 1966-01-01."""


def real(kind: str) -> tuple[int, int, int, int]:
    """Plant the real person in a path of the real visit, and look for invented people.

    Returns
    -------
    tuple of int
        Forms that were planted and found; people who were looked for among the visit's
        own paths and tags, and those who were found.
    """
    seen = Watch(VISIT)
    folders: dict[str, set[str]] = {}
    reader = TagReader(seen.values)
    with tarfile.open(inputs.tarball(kind)) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isfile() else None
            if content and reader.read(content.read()):
                folder, _, name = member.name.rpartition("/")
                folders.setdefault(folder, set()).add(name)
    found = 0
    values, tags = set(seen.values.found), set(seen.values.tags)
    for form in REAL_FORMS:
        found += bool(_looked(values, tags, {**folders, "more": {f"x_{form}.dcm"}}))
    alarms = sum(bool(_looked(_values(person), tags, folders)) for person in PEOPLE)
    alarms += bool(_looked(values, tags, folders))
    return len(REAL_FORMS), found, len(PEOPLE) + 1, alarms


def _values(person: Person) -> set[tuple[str, str]]:
    return {
        ("name", person.name),
        ("id", person.id),
        ("birth-date", person.birth_date),
        ("other-id", person.other_id),
        ("accession", person.accession),
    }


def _looked(
    values: set[tuple[str, str]], tags: set[str], folders: dict[str, set[str]]
) -> Identifiers:
    watch = Watch(VISIT)
    watch.values.found, watch.values.tags = set(values), set(tags)
    watch.look(folders)
    return watch.found


def cost(repeat: int) -> None:
    """Print what looking costs of the index pass: medians of runs in turn."""
    for kind in ("structural", "functional", "generated-functional"):
        tarball = inputs.tarball(kind)
        watch = Watch(VISIT)
        wall: dict[bool, list[float]] = {True: [], False: []}
        cpu: dict[bool, list[float]] = {True: [], False: []}
        for number in range(2 * repeat + 2):
            looking = bool(number % 2)
            watch = Watch(VISIT)
            with tarball.open("rb") as source, open(os.devnull, "wb") as out:
                began, used = time.perf_counter(), time.process_time()
                index_stream(source, out, watch=watch if looking else None)
                if number > 1:
                    wall[looking].append(time.perf_counter() - began)
                    cpu[looking].append(time.process_time() - used)
        off, on = median(cpu[False]), median(cpu[True])
        pairs = [b / a - 1 for a, b in zip(cpu[False], cpu[True], strict=True)]
        print(
            f"{inputs.called(kind)}: {off:.3f} s CPU without, {on:.3f} s with looking, "
            f"{median(pairs):+.1%} (pairs); wall {median(wall[False]):.3f} and "
            f"{median(wall[True]):.3f} s; found {watch.found.words()}"
        )


def cost_of_umlauts(repeat: int) -> None:
    """Print what it takes to look through 5,460 long names, without and with umlauts."""
    for word in ("Schadel", "Schädel"):
        names = {f"MR.{word}.1.3.46.670589.11.38317.5.0.{n:010d}" for n in range(5460)}
        took = []
        for _ in range(repeat):
            watch = Watch(VISIT)
            watch.values.found = _values(PEOPLE[0])
            began = time.process_time()
            watch.look({"study_1_visit_a": names})
            took.append(time.process_time() - began)
        print(f"5,460 names with {word}: {1000 * median(took):.1f} ms")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.identifiers")
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--repeat", type=int, default=15)
    asked = parser.parse_args()
    if asked.cost:
        cost(asked.repeat)
        cost_of_umlauts(asked.repeat)
    else:
        figures()


if __name__ == "__main__":
    main()
