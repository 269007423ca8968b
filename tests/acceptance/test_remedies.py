"""Whatever is printed as a remedy works when it is pasted."""

from __future__ import annotations

import ast
import gzip
import re
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import click
import pytest
from support.commands import Icfqueue

import icfqueue as icfqueue_package
from icfqueue.cli.group import cli
from icfqueue.core.causes import CAUSES
from icfqueue.core.plain_text import for_store, for_visit
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
    # What a shell takes for itself; and a format that is only known later.
    words = words[: words.index(">")] if ">" in words else words
    words = [
        "json" if before == "--format" else word for before, word in pairwise(["", *words])
    ]
    context = click.Context(cli, info_name="icfqueue")
    command = cli.get_command(context, words[1])
    assert command is not None, remedy
    try:
        command.make_context(words[1], words[2:], parent=context)
    except click.UsageError as error:
        pytest.fail(f"{remedy}: {error.message}")


def words_of(node: ast.expr) -> str:
    """Return a text as it stands in the code; what is only known later is ``cut``.

    That is a project, a visit, a file and a cause at once.
    """
    match node:
        case ast.Constant(str(value)):
            return value
        case ast.JoinedStr(parts):
            return "".join(map(words_of, parts))
        case ast.BinOp(left, ast.Add(), right):
            return words_of(left) + words_of(right)
        case _:
            return "cut"


def printed_commands() -> Iterator[tuple[str, list[str]]]:
    """Yield every command of ours that a text or a call of ``ours`` in the code has."""
    for path in sorted(Path(icfqueue_package.__file__).parent.rglob("*.py")):
        tree = ast.parse(path.read_text())
        # Docstrings, and parts of what is looked at as a whole.
        passed = {
            id(part)
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr | ast.JoinedStr)
            for part in ast.iter_child_nodes(node)
        }
        for node in ast.walk(tree):
            if id(node) in passed and isinstance(node, ast.Constant | ast.JoinedStr):
                continue
            where = f"{path.name}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ours":
                if isinstance(node.args[0], ast.Starred):
                    # What puts together those that are looked at here.
                    continue
                yield where, ["icfqueue", *map(words_of, node.args)]
            elif isinstance(node, ast.Constant | ast.JoinedStr):
                for line in commands_in(words_of(node)):
                    for part in re.split(r" (?:&&|\|\||[|;]) ", line):
                        if part.startswith("icfqueue "):
                            yield where, shlex.split(part)


def test_each_command_that_is_printed_anywhere_can_be_parsed() -> None:
    seen = 0
    for where, words in printed_commands():
        seen += 1
        check_usage([FILLED.get(word, word) for word in words], f"{where}: {words}")
    assert seen > 60


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
    """From anywhere, with nothing but the settings of the environment."""
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
            done = paste(icfqueue, line, Path("/"))
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


RUN = {
    "tar -tvf STORE/PROJECT/VISIT_dicom.tar": "notes.txt",
    "icfqueue forget PROJECT VISIT": "1 record removed",
    "icfqueue retry PROJECT VISIT": "1 visit goes on",
    "icfqueue run PROJECT VISIT --force": "1 enqueued",
    "icfqueue run PROJECT VISIT --no-stream": "0 enqueued",
    "icfqueue verify PROJECT VISIT": "visit_01: ",
    "icfqueue doctor": "store directory",
    "icfqueue doctor --project PROJECT": "store directory",
}
"""Commands among the remedies of causes to what they print, in the order of the test."""

NOT_RUN = {
    "file STORE/PROJECT/VISIT_dicom.tar": "it need not be installed",
    "datalad credentials set NAME type=user_password user=USER": "it asks for a password",
    "icfqueue doctor --project PROJECT --credential NAME": "there is no such credential",
    "icfqueue run PROJECT --credential NAME": "there is no such credential",
    "icfqueue run PROJECT --visits-file FILE": "the file is to be written first",
    "icfqueue run \N{HORIZONTAL ELLIPSIS} --visits-file FILE": "as the one above",
    "mv \N{HORIZONTAL ELLIPSIS} \N{HORIZONTAL ELLIPSIS}": "with files: the test of repack",
    "icfqueue retry PROJECT VISIT --accept-identifiers": "on a page: docs/identifiers.md",
    "chmod o-w \N{HORIZONTAL ELLIPSIS}": "with a real folder: the test of what failed",
}
"""Those that are not run below, and why; that they can be parsed is shown for all."""


_CODES = {"doctor": {0, 1, 3}, "verify": {1, 3}}
"""Exit codes of what finds something: there is no store URL that can be asked."""


def commands_of_causes() -> dict[str, set[str]]:
    """Return the commands that the remedies of each cause have."""
    import reference_from_code

    reference_from_code._import_all()
    found: dict[str, set[str]] = {
        code: set(commands_in(cause.remedy)) for code, cause in CAUSES.items()
    }
    for places in reference_from_code._places().values():
        for place in places:
            if place.cause in found:
                found[place.cause] |= set(commands_in(place.hint or ""))
    for cls, _ in reference_from_code._below(reference_from_code.errors.StepError, 0):
        found.setdefault(cls.default_cause, set()).update(commands_in(cls.default_hint))
    return found


def test_each_command_that_is_the_remedy_of_a_cause_is_run_or_it_is_said_why_not() -> None:
    named = set().union(*commands_of_causes().values())
    assert named == RUN.keys() | NOT_RUN.keys()


def test_the_commands_that_are_remedies_of_causes_do_what_they_promise(
    tmp_path: Path,
) -> None:
    """For a visit whose tarball was cut, and one without images, from anywhere."""
    store = tmp_path / "my store"
    build_project(store, "study_1", 2)
    cut, other = sorted((store / "study_1").glob("*_dicom.tar"))
    whole = cut.read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    write(other, {"notes.txt": b"no image"})
    icfqueue = Icfqueue(store)
    icfqueue("run", "study_1", "--jobs", "2")
    failed = icfqueue.status()["visits"]
    assert [visit["error"]["cause"] for visit in failed] == ["cut", "no-dicom"]
    hints = " ".join(visit["error"]["hint"] for visit in failed)
    cut.write_bytes(whole)
    for command, words in RUN.items():
        visit = "visit_02" if command.startswith(("tar", "icfqueue f")) else "visit_01"
        line = for_store(for_visit(command, "study_1", visit), store)
        if command.startswith(("tar", "icfqueue retry")):
            # These stand in what was found; the others are of causes that are not here.
            assert line in commands_in(hints)
        done = paste(icfqueue, line, Path("/"))
        assert done.returncode in _CODES.get(line.split()[1], {0}), done
        assert words in done.stdout, (line, done)


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


def test_whatever_a_command_says_is_for_the_store_that_it_was_given(
    tmp_path: Path,
) -> None:
    """Each line that it prints with a command of ours, relative to where one is."""
    store = tmp_path / "my store"
    build_project(store, "study_1", 2)
    tarball = store / "study_1" / "visit_02_dicom.tar"
    tarball.write_bytes(gzip.compress(tarball.read_bytes()))
    plain = Icfqueue(tmp_path / "nowhere")
    del plain.environment["ICFQUEUE_STORE_DIR"]
    run = "icfqueue run study_1 --jobs 1 --store-dir 'my store'"
    said = [paste(plain, run, tmp_path)]
    words = "--store-dir 'my store'"
    said += [
        paste(plain, f"icfqueue {command} {words}", tmp_path)
        for command in (
            "status study_1",
            "status study_1 visit_02",
            "status study_1 none",
            "logs study_1 visit_2",
            "retry study_1",
            "status",
            "workers",
        )
    ]
    seen = 0
    for done in said:
        for line in re.findall(r"icfqueue (?!clone)[a-z]+ .*", done.stdout + done.stderr):
            seen += 1
            assert words in line, (done.args, line)
    assert seen >= 8
    hint = commands_in(said[2].stdout)
    moved = next(line for line in hint if line.startswith("mv "))
    again = paste(plain, moved, Path("/"))
    assert again.returncode == 0, again.stderr
    retried = next(line for line in hint if line.startswith("icfqueue retry"))
    assert paste(plain, retried, tmp_path).returncode == 0
    assert paste(plain, run, tmp_path).returncode == 0


@pytest.mark.parametrize("command", ["run", "enqueue", "verify", "catalog", "reconcile"])
def test_a_folder_without_any_project_is_left_as_it_is(
    tmp_path: Path, command: str
) -> None:
    done = Icfqueue(tmp_path)(command, "study_1")
    assert done.returncode == 2
    assert [*tmp_path.iterdir()] == []


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
