"""Clones: what is refused before DataLad is asked, and what is switched in them."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.datasets import git
from support.raw_server import RawServer, head

from icfqueue.client import clones
from icfqueue.client.clones import (
    ENABLED,
    HOOK,
    MARK,
    SETTING,
    Wanted,
    wanted_url,
)
from icfqueue.core.errors import AccessDenied, IcfqueueError, Unreachable, UsageError
from icfqueue.core.visit import Visit
from icfqueue.dataset import programs
from icfqueue.outputs.deposit import HEAD, clone_url, refs_text
from icfqueue.remote.client import RemoteStore

PAGE = b'<html><h1>Index of /p</h1><a href="visit_1_dicom.tar">x</a></html>'
REFS = refs_text({HEAD: "a" * 40, "refs/heads/git-annex": "b" * 40})


def served(answers: dict[str, bytes]) -> RawServer:
    """Serve some files; all others are not there."""

    def answer(path: str) -> Iterator[bytes]:
        if path not in answers:
            yield head("404 Not Found", Content_Length="0")
            return
        kind = "text/html" if path.endswith("/") else "text/plain"
        yield head(Content_Type=kind) + answers[path]

    return RawServer(answer)


@pytest.fixture
def web() -> Iterator[RawServer]:
    files = {
        "/p/visit_1_XDLRA--refs": REFS,
        "/p/XDLRA--refs": REFS,
        "/p/odd_XDLRA--refs": b"<html>",
        "/p/": PAGE,
    }
    with served(files) as server:
        yield server


def test_a_visit_and_a_project_are_wanted_by_their_names(web: RawServer) -> None:
    with RemoteStore(web.url) as remote:
        assert clones.wanted_dataset(remote, "p", "visit_1") == Wanted(
            clone_url(web.url, Visit("p", "visit_1")), "visit_1"
        )
        assert clones.wanted_dataset(remote, "p", None) == Wanted(
            clone_url(web.url, "p"), "p"
        )


@pytest.mark.parametrize(
    ("project", "visit", "words"),
    [
        ("p", "visit_2", "did you mean visit_1?"),
        ("p", "qqqq", "lists 1 visits of p, none called so"),
        ("p", "mydir", "if mydir is to be the folder, write ./mydir"),
        ("q", "visit_1", "look at the names"),
        ("q", None, "q as a whole"),
        ("p", "odd", "is no deposit"),
        ("p", "../p", "visit"),
        (".git", None, "project"),
    ],
)
def test_what_would_become_an_empty_dataset_is_refused(
    web: RawServer, project: str, visit: str | None, words: str
) -> None:
    with RemoteStore(web.url) as remote, pytest.raises(IcfqueueError) as refused:
        clones.wanted_dataset(remote, project, visit)
    assert words in f"{refused.value.message} {refused.value.hint}"


def test_a_visit_whose_dataset_is_not_made_yet_is_told_from_a_typo() -> None:
    with (
        served({"/p/": PAGE}) as web,
        RemoteStore(web.url) as remote,
        pytest.raises(UsageError) as refused,
    ):
        clones.wanted_dataset(remote, "p", "visit_1")
    assert "was not made yet" in refused.value.hint


def test_a_store_that_refuses_or_is_away_is_not_taken_for_a_typo() -> None:
    def refuse(_: str) -> Iterator[bytes]:
        yield head("403 Forbidden", Content_Length="0")

    with RawServer(refuse) as web, RemoteStore(web.url) as remote:
        with pytest.raises(AccessDenied, match="answers 403") as refused:
            clones.wanted_dataset(remote, "p", "visit_1")
        assert "ask the store's data manager" in refused.value.hint
        with pytest.raises(AccessDenied):
            wanted_url(clone_url(web.url, "p"), None)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with RemoteStore(f"http://127.0.0.1:{port}") as remote, pytest.raises(Unreachable):
        clones.wanted_dataset(remote, "p", "visit_1")


def test_a_url_of_a_deposit_is_looked_at_too(web: RawServer) -> None:
    url = clone_url(web.url, Visit("p", "visit_1"))
    assert wanted_url(url, None) == Wanted(url, "visit_1")
    assert wanted_url(clone_url(web.url, "p"), None).name == "p"
    with pytest.raises(UsageError, match="no dataset at") as refused:
        wanted_url(clone_url(web.url, Visit("p", "visit_2")), None)
    assert "empty" in refused.value.hint
    with pytest.raises(UsageError, match="is no deposit"):
        wanted_url(clone_url(web.url, Visit("p", "odd")), None)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://hub.example.org/some/dataset", "dataset"),
        ("ssh://host/", "clone"),
        ("datalad-annex::?type=directory&directory=/x&encryption=none", "clone"),
        (clone_url("file:///data/icf", Visit("p", "visit_1")), "visit_1"),
    ],
)
def test_any_other_url_is_datalads_own_affair(url: str, name: str) -> None:
    assert wanted_url(url, None) == Wanted(url, name)


@pytest.fixture
def datalad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Return what puts a script in the place of the program ``datalad``."""
    folder = tmp_path / "programs"
    folder.mkdir()
    real = programs.search_path()
    monkeypatch.setattr(programs, "search_path", lambda: f"{folder}:{real}")

    def put(script: str) -> Path:
        (folder / "datalad").write_text(f'#!/bin/sh\necho "$@" >{folder}/told\n{script}\n')
        (folder / "datalad").chmod(0o755)
        return folder / "told"

    return put


PLAIN = 'git init -q "$3" && mkdir "$3/.datalad"'
MAKE = f'{PLAIN} && git -C "$3" config {ENABLED} an-id'


def test_datalad_clones_and_range_access_is_on(
    tmp_path: Path, datalad: Callable[[str], Path]
) -> None:
    told = datalad(MAKE)
    assert clones.clone(Wanted("some::url", "x"), tmp_path / "x")
    assert told.read_text() == f"clone some::url {tmp_path / 'x'}\n"
    assert git(tmp_path / "x", "config", SETTING) == b"icfrange\n"


def test_a_dataset_without_tarballs_is_cloned_as_it_is(
    tmp_path: Path, datalad: Callable[[str], Path]
) -> None:
    datalad(PLAIN)
    assert not clones.clone(Wanted("https://hub/x", "x"), tmp_path / "x")
    assert git(tmp_path / "x", "remote") == b""


def test_a_credential_that_was_named_is_datalads_too(
    tmp_path: Path, datalad: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside what the user's own environment says; a secret is not shown."""
    monkeypatch.setenv("DATALAD_CONFIG_OVERRIDES_JSON", '{"a": "b"}')
    datalad(f'{MAKE}; echo "$DATALAD_CONFIG_OVERRIDES_JSON" >"$3/given"')
    wanted = Wanted("some::url", "x", {"datalad.credential.c.secret": "s3cret"})
    clones.clone(wanted, tmp_path / "x")
    given = json.loads((tmp_path / "x" / "given").read_text())
    assert given == {"a": "b", "datalad.credential.c.secret": "s3cret"}
    assert "s3cret" not in repr(wanted)


@pytest.mark.parametrize("quiet", [False, True])
def test_a_quiet_datalad_says_nothing_but_what_is_wrong(
    tmp_path: Path,
    datalad: Callable[[str], Path],
    capfd: pytest.CaptureFixture[str],
    quiet: bool,
) -> None:
    told = datalad(
        f'test "$1" = clone || shift 2; {MAKE}; echo "install(ok)"; echo bad >&2'
    )
    clones.clone(Wanted("some::url", "x"), tmp_path / "x", quiet=quiet)
    said = capfd.readouterr()
    assert (said.out, said.err) == ("" if quiet else "install(ok)\n", "bad\n")
    assert told.read_text().startswith("--log-level warning clone " if quiet else "clone ")


def test_a_quiet_clone_that_fails_says_why(
    tmp_path: Path, datalad: Callable[[str], Path]
) -> None:
    datalad("echo 'install(error): why'; exit 1")
    with pytest.raises(IcfqueueError, match=r"could not clone x: install\(error\): why"):
        clones.clone(Wanted("some::url", "x"), tmp_path / "x", quiet=True)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        (clone_url("https://x.org/store", "p"), ("https://x.org/store", "p")),
        (clone_url("file:///my%20store", "p"), ("file:///my store", "p")),
        (clone_url("https://x.org", Visit("p", "v")), None),
        ("https://x.org/p", None),
        ("datalad-annex::?type=directory&directory=/x&encryption=none", None),
    ],
)
def test_the_url_of_a_whole_project_is_told_from_others(
    url: str, found: tuple[str, str] | None
) -> None:
    assert clones.project_of(url) == found


def test_a_clone_that_fails_says_so(tmp_path: Path, datalad: Callable[[str], Path]) -> None:
    datalad("exit 1")
    with pytest.raises(IcfqueueError, match="DataLad could not clone x"):
        clones.clone(Wanted("some::url", "x"), tmp_path / "x")


def test_nothing_is_cloned_where_something_would_be_changed(
    tmp_path: Path, datalad: Callable[[str], Path]
) -> None:
    told = datalad(MAKE)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "repo").mkdir()
    git(tmp_path / "repo", "init", "-q")
    wanted = Wanted("some::url", "x")
    for target, words in (
        ("full", "is there already"),
        ("full/file", "is there already"),
        ("missing/x", "is not there"),
        ("repo/x", "Git repository"),
    ):
        with pytest.raises(UsageError, match=words):
            clones.clone(wanted, tmp_path / target)
    assert not told.exists()


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset with two subdatasets: one that is installed and one that is not.

    With a git configuration of its own.
    """
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    (tmp_path / "gitconfig").write_text("[user]\n\tname = Me\n\temail = me@example.org\n")
    top, below = tmp_path / "top", tmp_path / "top" / "below"
    for folder in (top, below):
        folder.mkdir()
        git(folder, "init", "-q")
        (folder / ".datalad").mkdir()
        (folder / ".datalad" / "config").touch()
        git(folder, "add", ".datalad")
        git(folder, "commit", "-q", "-m", "x")
    commit = git(below, "rev-parse", "HEAD").decode().strip()
    for name in ("below", "absent"):
        git(top, "update-index", "--add", "--cacheinfo", f"160000,{commit},{name}")
    (top / ".gitmodules").touch()
    git(below, "config", ENABLED, "an-id")
    return top


def config(dataset: Path) -> str:
    return (dataset / ".git" / "config").read_text()


def hooks(dataset: Path) -> dict[str, str]:
    """Return the user's hooks: the last word of the setting's name, and its value."""
    lines = git(dataset, "config", "--global", "--list").decode().splitlines()
    found = dict(line.split("=", 1) for line in lines if line.startswith(HOOK))
    return {name.rpartition(".")[2]: value for name, value in found.items()}


def test_range_access_is_switched_in_a_dataset_and_those_below_it(dataset: Path) -> None:
    below = dataset / "below"
    before = config(dataset)
    for _ in range(2):
        assert clones.switch_on(dataset) == [dataset, below]
        assert git(below, "config", SETTING) == b"icfrange\n"
        assert git(dataset, "config", MARK) == b"on\n"
        assert len(hooks(dataset)) == 2
    assert git(dataset, "remote") == b"", "half a remote in the project's dataset"
    for _ in range(2):
        assert clones.switch_off(dataset) == [dataset, below]
        assert git(below, "config", SETTING) == b"archivist\n"
        assert config(dataset) == before
        assert len(hooks(dataset)) == 2, "other clones may need it"


def test_a_visit_with_subdatasets_is_switched_itself_and_no_plain_one_below_it(
    dataset: Path,
) -> None:
    git(dataset, "config", ENABLED, "an-id")
    git(dataset / "below", "config", "--unset", ENABLED)
    before = config(dataset / "below")
    assert clones.switch_on(dataset) == [dataset]
    assert git(dataset, "config", SETTING) == b"icfrange\n"
    assert git(dataset, "config", MARK) == b"on\n"
    assert config(dataset / "below") == before


def test_a_dataset_without_archivist_is_refused_and_off_takes_half_a_remote_away(
    dataset: Path,
) -> None:
    below = dataset / "below"
    git(below, "config", "--unset", ENABLED)
    before = config(below)
    with pytest.raises(UsageError, match="no remote 'archivist'"):
        clones.switch_on(below)
    assert config(below) == before
    git(below, "config", SETTING, "icfrange")
    assert clones.switch_off(below) == [below]
    assert git(below, "remote") == b""


def follow(dataset: Path) -> list[str]:
    """Return the command that DataLad runs for what is installed below a dataset."""
    call = hooks(dataset)["call-json"].partition(" ")[2]
    command: list[str] = json.loads(call.format(path="x"))["cmd"]
    return command


def test_the_hook_makes_no_half_remote_and_hands_the_mark_on(dataset: Path) -> None:
    """Below is first a plain dataset, then one of a project."""
    below = dataset / "below"
    git(below, "config", "--unset", ENABLED)
    clones.switch_on(dataset)
    before = config(below)
    subprocess.run(follow(dataset), cwd=below, check=True)
    assert config(below) == before
    (below / ".gitmodules").touch()
    subprocess.run(follow(dataset), cwd=below, check=True)
    assert git(below, "config", MARK) == b"on\n"
    assert git(below, "remote") == b""


def test_the_hook_is_text_that_datalad_can_fill_in(
    dataset: Path,
) -> None:
    """Whatever the path of the subdataset: quotes come escaped into JSON."""
    clones.switch_on(dataset)
    found = hooks(dataset)
    match = json.loads(found["match-json"])
    assert (match["type"], match["action"]) == ("dataset", "install")
    command, _, arguments = found["call-json"].partition(" ")
    assert command == "foreach_dataset"
    filled = json.loads(arguments.format(path="/some/where"))
    assert filled["dataset"] == "/some/where"
    assert filled["cmd"][:2] == ["sh", "-c"]


@pytest.mark.parametrize("on", [True, False])
def test_the_hook_changes_only_what_lies_in_a_dataset_with_range_access(
    dataset: Path, tmp_path: Path, on: bool
) -> None:
    clones.switch_on(dataset)
    command = follow(dataset)
    if not on:
        clones.switch_off(dataset)
    git(dataset / "below", "config", SETTING, "archivist")
    git(tmp_path, "init", "-q", "alone")
    for folder in (dataset / "below", tmp_path / "alone"):
        subprocess.run(command, cwd=folder, check=True)
    wanted = b"icfrange\n" if on else b"archivist\n"
    assert git(dataset / "below", "config", SETTING) == wanted
    assert "icfrange" not in config(tmp_path / "alone")


def test_a_dataset_without_subdatasets_changes_nothing_of_the_users(dataset: Path) -> None:
    clones.switch_on(dataset / "below")
    assert hooks(dataset) == {}


def test_what_is_no_dataset_is_refused(tmp_path: Path, dataset: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing", dataset / ".datalad"):
        for switch in (clones.switch_on, clones.switch_off):
            with pytest.raises(UsageError, match="no DataLad dataset"):
                switch(folder)


def test_a_program_that_git_annex_would_not_find_is_not_switched_on(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when icfqueue is called by its path: the remedy can be pasted."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match="not in your PATH") as refused:
        clones.switch_on(dataset)
    target = tmp_path / "x"
    with pytest.raises(UsageError, match="not in your PATH"):
        clones.clone(Wanted("some::url", "x"), target)
    assert not target.exists(), "cloned before it was looked for"
    assert 'export PATH="' in refused.value.hint
    assert "range" not in config(dataset)
