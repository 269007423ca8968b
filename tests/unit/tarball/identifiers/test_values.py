"""Values as text: by the character set that is declared, and as UTF-8."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.dicom import dicom, element

from icfqueue.tarball import dicom_tags
from icfqueue.tarball.identifiers.values import Personal, Values, of_raw


def named(name: bytes, charset: bytes = b"") -> set[str]:
    raw = Personal(charset, b"", name, b"", b"", b"", b"")
    return {text for kind, text in of_raw(raw) if kind == "name"}


@pytest.mark.parametrize(
    ("charset", "codec", "name"),
    [
        (b"ISO_IR 100", "latin-1", "Müller^Jürgen"),
        (b"ISO_IR 192", "utf-8", "Łukasiewicz^Paweł"),
        (b"ISO_IR 144", "iso8859_5", "Люксембург^Роза"),
        (b"ISO_IR 126 ", "iso8859_7", "Διονυσίου^Ελένη"),
        (b"ISO_IR 127", "iso8859_6", "قباني^لنزار"),
        (b"\\ISO 2022 IR 87", "iso2022_jp", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (b"GB18030", "gb18030", "Wang^XiaoDong=王^小东"),
    ],
)
def test_a_name_is_read_by_its_character_set(charset: bytes, codec: str, name: str) -> None:
    assert name in named(name.encode(codec), charset)


def test_a_korean_name_of_the_standards_example_is_read() -> None:
    """PS3.5, section I.2."""
    raw = (
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7="
        b"\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf"
    )
    assert named(raw, b"\\ISO 2022 IR 149") >= {"Hong^Gildong=洪^吉洞=홍^길동"}


@pytest.mark.parametrize("charset", [b"", b"ISO_IR 100", b"ISO_IR 6", b"rubbish"])
def test_utf8_is_read_also_where_something_else_is_declared(charset: bytes) -> None:
    assert "Müller^Jürgen" in named("Müller^Jürgen".encode(), charset)


def test_other_letters_without_a_character_set_are_taken_for_latin() -> None:
    assert "Müller" in named("Müller".encode("latin-1"))


def test_damaged_bytes_are_no_error_and_no_warning() -> None:
    for charset in (b"ISO_IR 192", b"\\ISO 2022 IR 87", b"\\ISO 2022 IR 149", b"GB18030"):
        assert named(b"\xff\x1b$)C\xfb\x1b", charset)


def test_what_pydicom_reads_is_collected_as_well() -> None:
    content = dicom(
        element(0x00080060, b"CS", b"MR"),
        element(0x00100010, b"PN", b"Doe^Jane"),
        element(0x00101000, b"LO", b"OLD1\\OLD2 "),
    )
    values = Values()
    assert dicom_tags.by_pydicom(content, values=values)
    assert values.found >= {("name", "Doe^Jane"), ("other-id", "OLD2")}


def test_of_a_damaged_header_counts_what_stands_before_the_damage() -> None:
    content = dicom(
        element(0x00080060, b"CS", b"MR"), element(0x00100010, b"PN", b"Doe^Jane")
    )
    values = Values()
    damaged = content + b"\x18\0\x30\x10LO\xff\xff"
    assert dicom_tags.TagReader(values).read(damaged)
    assert ("name", "Doe^Jane") in values.found


def test_common_character_sets_need_no_pydicom() -> None:
    """Its import takes longer than most visits."""
    code = (
        "import sys; from icfqueue.tarball.identifiers.values import Personal, of_raw;"
        "raw = Personal(b'ISO_IR 100', b'', 'Müller'.encode('latin-1'), *[b''] * 4);"
        "print(*dict(of_raw(raw)).values(), 'pydicom' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    assert done.stdout == "Müller False\n"


def test_images_that_say_the_same_are_looked_at_once() -> None:
    values = Values()
    raw = Personal(b"", b"", b"Doe^Jane", b"", b"", b"", b"")
    for _ in range(3):
        values.add_raw(raw)
    assert values.found == {("name", "Doe^Jane")}
    assert not values.many


def test_no_representation_shows_a_value() -> None:
    values = Values()
    values.add_raw(Personal(b"", b"", b"Doe^Jane", b"", b"", b"", b""))
    assert "Jane" not in repr(values)
