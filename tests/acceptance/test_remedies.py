"""Whatever is printed as a remedy works when it is pasted."""

from __future__ import annotations

import gzip
import re
import shlex
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import click
import pytest
from support.commands import Icfqueue

from icfqueue.cli.group import cli
from icfqueue.core.causes import CAUSES
from icfqueue.demo.visits import build_project

sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "_ext"))

_QUOTED = re.compile(r"`([^`]+)`|'((?:icfqueue|datalad|git) [^']+)'")

KNOWN = {
    *("icfqueue", "datalad", "pip", "htpasswd", "chmod", "rm", "mkdir", "mv", "gunzip"),
    *("tar", "file", "find", "sort", "du", "tail", "bash", "export", "git"),
}
"""Programs that a remedy may name; those of a shell and of coreutils among them."""

FILLED = {
    "PROJECT": "study_1",
    "VISIT": "v1",
    "CAUSE": "cut",
    "NAME": "icf",
    "USER": "me",
    "FILE": "f",
}


def commands_in(text: str) -> list[str]:
    return [first or second for first, second in _QUOTED.findall(text)]


def paste(icfqueue: Icfqueue, line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Type a line into a shell in this folder."""
    return subprocess.run(
        ["bash", "-ec", line],
        cwd=folder,
        env=icfqueue.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


# --- all that can be printed -----------------------------------------------------------


def all_remedies() -> list[str]:
    """Return every remedy of the reference of errors, and of the causes."""
    import reference_from_code

    reference_from_code._import_all()
    found = [
        place.hint for places in reference_from_code._places().values() for place in places
    ]
    classes = reference_from_code._below(reference_from_code.errors.IcfqueueError, 0)
    found += [cls.default_hint for cls, _ in classes]
    found += [cause.remedy for cause in CAUSES.values()]
    return sorted({hint for hint in found if hint})


def test_each_remedy_of_the_reference_names_commands_that_there_are() -> None:
    """With the names filled in that only the place of the error knows."""
    seen = 0
    for remedy in all_remedies():
        # What is only known later is a word in a command.
        for line in commands_in(remedy.replace("…", "x")):
            for part in re.split(r" (?:&&|\|\||[|;]) ", line):
                if part == "x":
                    # All of it is only known later, as in what goes on with a command.
                    continue
                words = [FILLED.get(word, word) for word in shlex.split(part)]
                assert words[0] in KNOWN, remedy
                if words[0] == "icfqueue":
                    seen += 1
                    check_usage(words, remedy)
    assert seen > 30


def check_usage(words: list[str], remedy: str) -> None:
    context = click.Context(cli, info_name="icfqueue")
    command = cli.get_command(context, words[1])
    assert command is not None, remedy
    try:
        command.make_context(words[1], words[2:], parent=context)
    except click.UsageError as error:
        pytest.fail(f"{remedy}: {error.message}")


def test_no_remedy_names_a_command_without_marks_or_without_its_project() -> None:
    """Marks tell what is to be pasted; `icfqueue retry` alone is wrong usage."""
    for remedy in all_remedies():
        bare = _QUOTED.sub("", remedy)
        assert not re.search(
            r"\bicfqueue (?:[a-z]+ )?(?:study|PROJECT|retry|run)\b", bare
        ), remedy
        assert not re.search(r"--force\b", bare), remedy


# --- tarballs and outputs --------------------------------------------------------------


def names_in(tarball: Path) -> dict[str, bytes]:
    with tarfile.open(tarball) as tar:
        files = [member for member in tar if member.isfile()]
        return {m.name: tar.extractfile(m).read() for m in files}  # type: ignore[union-attr]  # they are files


def write(tarball: Path, files: dict[str, bytes], *, link: str = "") -> bytes:
    with tarfile.open(tarball, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), 1_700_000_000
            tar.addfile(member, BytesIO(content))
        if link:
            member = tarfile.TarInfo(f"{link}.again")
            member.type, member.linkname = tarfile.LNKTYPE, link
            tar.addfile(member)
    return tarball.read_bytes()


def spoil(folder: Path) -> None:
    """Make each of the visits one that fails, for another reason each."""
    tars = sorted(folder.glob("*_dicom.tar"))
    packed, two, dotted, linked, opened = tars
    packed.write_bytes(gzip.compress(packed.read_bytes()))
    content = names_in(two)
    first = dict(list(content.items())[:1])
    two.write_bytes(write(two, first) + write(two, content))
    write(dotted, {f"./{name}": data for name, data in names_in(dotted).items()})
    content = names_in(linked)
    write(linked, content, link=next(iter(content)))
    stem = opened.name.removesuffix("_dicom.tar")
    work = folder / ".icfqueue" / stem
    work.mkdir(parents=True)
    work.chmod(0o777)


CAUSES_MET = ["gzip", "two-tars", "bad-name", "bad-name", "unsafe-path"]


def test_visits_that_failed_are_done_when_their_remedies_were_pasted(
    tmp_path: Path,
) -> None:
    """In the project's folder, with nothing but the settings of the environment."""
    store = tmp_path / "my store"
    build_project(store, "study_1", len(CAUSES_MET))
    folder = store / "study_1"
    spoil(folder)
    icfqueue = Icfqueue(store)
    icfqueue("run", "study_1", "--jobs", "2")
    failed = icfqueue.status()["visits"]
    assert [visit["state"] for visit in failed] == ["failed"] * len(failed)
    assert [visit["error"]["cause"] for visit in failed] == CAUSES_MET
    for visit in failed:
        hint = visit["error"]["hint"]
        lines = commands_in(hint)
        # Where there is a choice, the last one is the one that goes on.
        forced = [line for line in lines if "--force" in line]
        for line in forced or lines:
            done = paste(icfqueue, line, folder)
            assert done.returncode == 0, (hint, line, done.stdout, done.stderr)
    icfqueue.good("run", "study_1", "--jobs", "2")
    assert icfqueue.status()["counts"]["done"] == len(CAUSES_MET)


@pytest.mark.parametrize("changed", ["tarball", "metadata"])
def test_what_was_made_can_be_made_anew(tmp_path: Path, changed: str) -> None:
    build_project(tmp_path, "study_1", 1)
    icfqueue = Icfqueue(tmp_path)
    icfqueue.good("run", "study_1", "--jobs", "1")
    folder = tmp_path / "study_1"
    if changed == "tarball":
        tarball = folder / "visit_01_dicom.tar"
        content = names_in(tarball)
        write(tarball, {name: content[name] for name in list(content)[:2]})
    else:
        (folder / "visit_01_metadata_dicoms.json").write_text("[]")
    icfqueue("run", "study_1", "--jobs", "1")
    (visit,) = icfqueue.status()["visits"]
    if changed == "metadata":
        said = icfqueue("verify", "study_1", "--audit-only").stdout
        lines = commands_in(said)
    else:
        assert visit["error"]["cause"] == "changed"
        lines = commands_in(visit["error"]["hint"])
    (line,) = dict.fromkeys(line for line in lines if "--force" in line)
    done = paste(icfqueue, line, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 up to date" in icfqueue.good("run", "study_1", "--dry-run")


# --- the command line ------------------------------------------------------------------


def test_a_remedy_is_for_the_store_that_was_named_wherever_it_is_pasted(
    tmp_path: Path,
) -> None:
    store = tmp_path / "my store"
    build_project(store, "study_1", 1)
    plain = Icfqueue(tmp_path / "nowhere")
    del plain.environment["ICFQUEUE_STORE_DIR"]
    plain.good("enqueue", "study_1", "--store-dir", str(store))
    done = plain("status", "study_1", "none", "--store-dir", str(store))
    assert done.returncode == 2
    (line,) = commands_in(done.stderr)
    again = paste(plain, line, Path("/"))
    assert (again.returncode, "visit_01" in again.stdout) == (0, True)


def test_names_of_projects_and_visits_that_are_mistyped_are_guessed(tmp_path: Path) -> None:
    build_project(tmp_path, "study_1", 2)
    icfqueue = Icfqueue(tmp_path)
    icfqueue.good("enqueue", "study_1")
    for words in (
        ["run", "stud_1"],
        ["status", "stud_1"],
        ["retry", "stud_1"],
        ["verify", "stud_1"],
        ["references", "stud_1"],
        ["catalog", "stud_1"],
        ["reconcile", "stud_1"],
    ):
        done = icfqueue(*words)
        assert done.returncode == 2, (words, done.stderr)
        assert "study_1" in done.stderr, (words, done.stderr)
    done = icfqueue("cancel", "study_1", "visit_1")
    assert "visit_01" in done.stderr
    assert "visit_01" in icfqueue("forget", "study_1", "visit_1").stderr
