"""One image out of a tarball that is not here, from a real nginx, by git-annex itself."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import fsspec
import pydicom
import pytest
from support import datasets
from support.needs import program
from support.nginx import PASSWORD, REALM, USER, Nginx

from icfqueue.client import clones
from icfqueue.client.references import write_references
from icfqueue.core.errors import AccessDenied
from icfqueue.core.guard import UNGUARDED
from icfqueue.core.options import Options
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.dataset import clone as places
from icfqueue.dataset import programs
from icfqueue.dataset.build import build
from icfqueue.dataset.repository import make_bare
from icfqueue.outputs import deposit
from icfqueue.remote.client import RemoteStore
from icfqueue.steps.job import Job
from icfqueue.store.directory import Store

IMAGES = [image + bytes(19_000) for image in datasets.images(260)]
"""As large as those of a functional scan: 21 kB."""
VISIT = Visit("study_1", "visit_1")
HUGE = Visit("study_1", "huge")
HUGE_SIZE = 20 << 30


@dataclass
class Scientist:
    """A folder with a clone, and the environment of somebody who has the password."""

    web: Nginx
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def clone(self) -> Path:
        return self.folder / "clone"

    def call(
        self, *command: str, good: bool | None = True, where: Path | None = None
    ) -> str:
        where = where or (self.clone if self.clone.exists() else self.folder)
        done = subprocess.run(
            [programs.find_program(command[0]), *command[1:]],
            cwd=where,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        said = done.stdout + done.stderr
        assert good is None or (done.returncode == 0) is good, said
        return said

    def cloned(self, address: Path, name: str) -> Path:
        """Clone another dataset, and have its images come one by one."""
        made = self.folder / name
        self.call("datalad", "clone", str(address), str(made))
        clones.switch_on(made)
        return made

    def image(self, number: int) -> bytes:
        return (self.clone / f"v/{number:04d}.dcm").read_bytes()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("store") / "root"
    (made / VISIT.project).mkdir(parents=True)
    return made


@pytest.fixture(scope="module")
def web(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with Nginx(tmp_path_factory.mktemp("nginx"), root) as server:
        job = Job(VISIT, Options(server.url), Store(root), Settings())
        datasets.put_visit(
            job, [(f"v/{n:04d}.dcm", image) for n, image in enumerate(IMAGES)]
        )
        yield server


@pytest.fixture(scope="module")
def cloned(web: Nginx) -> Iterator[Scientist]:
    """A clone as ``datalad clone`` makes it; tests work on copies of it."""
    folder = places.folder_of_its_own("icfqueue-test-")
    login = json.dumps(web.login())
    environment = {**os.environ, "DATALAD_CONFIG_OVERRIDES_JSON": login}
    made = Scientist(web, folder, {**environment, "PATH": programs.search_path()})
    made.call("datalad", "clone", deposit.clone_url(web.url, VISIT), str(made.clone))
    yield made
    places.remove(folder)


@pytest.fixture
def scientist(cloned: Scientist, web: Nginx) -> Iterator[Scientist]:
    """A clone of its own for each test, with range access on."""
    folder = places.folder_of_its_own("icfqueue-test-")
    shutil.copytree(cloned.clone, folder / "clone", symlinks=True)
    made = replace(cloned, folder=folder)
    clones.switch_on(made.clone)
    web.forget()
    yield made
    places.remove(folder)


def test_one_image_moves_its_own_bytes_and_a_little_more(scientist: Scientist) -> None:
    scientist.call("datalad", "get", "v/0007.dcm")
    assert scientist.image(7) == IMAGES[7]
    moved = sum(one.sent for one in scientist.web.sent())
    assert len(IMAGES[7]) < moved <= len(IMAGES[7]) + 10_000
    assert [one.status for one in scientist.web.sent()] == [401, 401, 206]


def test_a_series_moves_hardly_more_than_its_bytes(scientist: Scientist) -> None:
    names = [f"v/{n:04d}.dcm" for n in range(200)]
    scientist.call("git", "annex", "get", *names)
    wanted = sum(len(image) for image in IMAGES[:200])
    assert [scientist.image(n) for n in range(200)] == IMAGES[:200]
    assert sum(one.sent for one in scientist.web.sent()) <= 1.05 * wanted
    assert sum(one.status == 401 for one in scientist.web.sent()) == 2


def test_four_at_once_fsck_drop_and_whereis_work_as_ever(scientist: Scientist) -> None:
    names = [f"v/{n:04d}.dcm" for n in range(40)]
    scientist.call("git", "annex", "get", "-J4", *names)
    assert [scientist.image(n) for n in range(40)] == IMAGES[:40]
    scientist.call("git", "annex", "fsck", *names)
    scientist.call("git", "annex", "fsck", "--fast", "--from=archivist", "v/0001.dcm")
    scientist.call("git", "annex", "drop", "v/0001.dcm")
    assert not (scientist.clone / "v/0001.dcm").exists()
    assert "[archivist]" in scientist.call("git", "annex", "whereis", "v/0001.dcm")


def test_with_the_tarball_here_the_store_is_not_asked(scientist: Scientist) -> None:
    scientist.call("datalad", "get", "icf/visit_1_dicom.tar")
    scientist.web.forget()
    scientist.call("datalad", "get", "v/0009.dcm")
    assert scientist.image(9) == IMAGES[9]
    assert not scientist.web.sent()


def test_a_store_without_ranges_sends_the_tarball_and_it_is_said_once(
    scientist: Scientist,
) -> None:
    scientist.web.restart("max_ranges 0;")
    try:
        said = scientist.call("git", "annex", "get", "v/0003.dcm", "v/0004.dcm")
    finally:
        scientist.web.restart("")
    assert said.count("the whole tarball is tried") == 1
    assert "200, not 206" in said
    assert scientist.image(3) == IMAGES[3]
    assert (scientist.clone / "icf/visit_1_dicom.tar").exists()


@pytest.mark.parametrize("how", ["longer", "other bytes"])
def test_of_a_replaced_tarball_no_wrong_image_is_taken(
    scientist: Scientist, root: Path, how: str
) -> None:
    path = root / VISIT.project / VISIT.tarball
    content = path.read_bytes()
    path.write_bytes(content + bytes(512) if how == "longer" else bytes(len(content)))
    try:
        said = scientist.call("git", "annex", "get", "v/0003.dcm", good=False)
    finally:
        path.write_bytes(content)
    assert not (scientist.clone / "v/0003.dcm").exists()
    words = "was replaced" if how == "longer" else "not those of the image"
    assert words in said


def test_with_a_wrong_password_nothing_comes_and_offline_neither(
    scientist: Scientist,
) -> None:
    login = scientist.web.login() | {"datalad.credential.nginx.secret": "wrong"}
    refused = replace(
        scientist,
        environment={
            **scientist.environment,
            "DATALAD_CONFIG_OVERRIDES_JSON": json.dumps(login),
        },
    )
    assert "answers 401" in refused.call("git", "annex", "get", "v/0003.dcm", good=False)
    scientist.web.stop()
    try:
        said = scientist.call("git", "annex", "get", "v/0003.dcm", good=False)
    finally:
        scientist.web.start()
    assert "cannot be reached" in said
    scientist.call("git", "annex", "get", "v/0003.dcm")
    assert scientist.image(3) == IMAGES[3]


def test_in_legacy_mode_of_the_archivist_images_come_too(scientist: Scientist) -> None:
    """By range as ever; and where that fails the legacy program does its work, with 7z."""
    program("7z", "p7zip-full")
    scientist.call("git", "config", "datalad.archivist.legacy-mode", "yes")
    scientist.call("git", "annex", "get", "v/0005.dcm")
    assert [one.status for one in scientist.web.sent()][-1] == 206
    scientist.web.restart("max_ranges 0;")
    try:
        said = scientist.call("git", "annex", "get", "v/0006.dcm")
    finally:
        scientist.web.restart("")
    assert "the whole tarball is tried" in said
    assert "extraction cache" in said, "not by the legacy program"
    assert [scientist.image(n) for n in (5, 6)] == IMAGES[5:7]


def test_without_our_program_git_annex_names_it_and_off_mends(
    scientist: Scientist,
) -> None:
    scientist.call("git", "config", clones.SETTING, "icfabsent")
    said = scientist.call("git", "annex", "get", "v/0005.dcm", good=False)
    assert "git-annex-remote-icfabsent" in said
    clones.switch_off(scientist.clone)
    scientist.call("git", "annex", "get", "v/0005.dcm")
    assert scientist.image(5) == IMAGES[5]


def test_a_client_that_knows_nothing_of_it_sees_no_difference(
    scientist: Scientist,
) -> None:
    clones.switch_off(scientist.clone)
    said = scientist.call("datalad", "get", "v/0005.dcm")
    assert "warn" not in said.lower()
    assert scientist.image(5) == IMAGES[5]
    assert (scientist.clone / "icf/visit_1_dicom.tar").exists()


def test_an_image_of_a_tarball_of_twenty_gigabytes_comes_at_once(
    web: Nginx, root: Path
) -> None:
    """The tarball is a hole but for the image; nothing may read it as a whole."""
    tarball = root / HUGE.project / HUGE.tarball
    offset = 17 << 30
    with tarball.open("wb") as file:
        file.truncate(HUGE_SIZE)
        file.seek(offset)
        file.write(IMAGES[1])
    folder = places.folder_of_its_own("icfqueue-test-")
    try:
        _deposit_huge(root, folder, web.url, offset)
        login = json.dumps(web.login())
        environment = {
            **os.environ,
            "DATALAD_CONFIG_OVERRIDES_JSON": login,
            "PATH": programs.search_path(),
        }
        scientist = Scientist(web, folder, environment)
        url = deposit.clone_url(web.url, HUGE)
        scientist.call("datalad", "clone", url, str(scientist.clone))
        clones.switch_on(scientist.clone)
        web.forget()
        scientist.call("datalad", "get", "v/far.dcm")
        assert (scientist.clone / "v/far.dcm").read_bytes() == IMAGES[1]
        assert sum(one.sent for one in web.sent()) <= len(IMAGES[1]) + 10_000
    finally:
        places.remove(folder)
        tarball.unlink()


def test_references_give_one_image_to_pydicom_without_datalad(
    web: Nginx, root: Path
) -> None:
    """fsspec reads the references from the store, and the image by range."""
    (told,) = write_references(Store(root), VISIT.project, [VISIT.id])
    assert told.images == len(IMAGES)
    web.forget()
    token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    login = {"client_kwargs": {"headers": {"Authorization": f"Basic {token}"}}}
    files = fsspec.filesystem(
        "reference",
        fo=f"{web.url}/{VISIT.project}/{VISIT.metadata_references}",
        target_options=login,
        remote_protocol="http",
        remote_options=login,
    )
    with files.open("v/0017.dcm") as image:
        found = pydicom.dcmread(image)
    assert found == pydicom.dcmread(io.BytesIO(IMAGES[17]))
    assert len(files.find("v")) == len(IMAGES)
    tarball = [one for one in web.sent() if one.path.endswith(".tar")]
    # Before it, fsspec asks by HEAD whether the server knows ranges.
    assert [one.status for one in tarball] == [200, 206]
    assert sum(one.sent for one in tarball) <= len(IMAGES[17]) + 2_000


def _deposit_huge(root: Path, folder: Path, url: str, offset: int) -> None:
    record = {
        "path": "v/far.dcm",
        "size": len(IMAGES[1]),
        "md5": hashlib.md5(IMAGES[1]).hexdigest(),
        **datasets.EMPTY_TAGS,
    }
    where = f"{url}/{HUGE.storepath}"
    source = deposit.Source(where, "0" * 32, HUGE_SIZE, 1_500_000_000, "0" * 32, 1)
    repo = make_bare(folder / "repo")
    build(repo, HUGE, url, source, [record], offsets=[offset], guard=UNGUARDED)
    refs = deposit.pack_refs(repo)
    store = Store(root)
    deposit.write_export(repo, store.path(HUGE, HUGE.repo_export), source)
    store.path(HUGE, HUGE.refs).write_bytes(deposit.refs_text(refs))


@pytest.fixture
def gitconfig(
    scientist: Scientist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of the user's git configuration, which may be changed."""
    copy = tmp_path / "gitconfig"
    shutil.copy(Path.home() / ".gitconfig", copy)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(copy))
    scientist.environment = {**scientist.environment, "GIT_CONFIG_GLOBAL": str(copy)}


@pytest.fixture
def project(scientist: Scientist) -> Path:
    """A dataset of a project, in Git alone: its visit is a subdataset that is not here."""
    folder, url = scientist.folder / "project", deposit.clone_url(scientist.web.url, VISIT)
    commit = scientist.call("git", "rev-parse", "HEAD").strip()
    scientist.call("datalad", "create", str(folder))
    modules = folder / ".gitmodules"
    for name, value in (("path", VISIT.id), ("url", url)):
        key = f"submodule.{VISIT.id}.{name}"
        scientist.call("git", "config", "-f", str(modules), key, value)
    git = ["git", "-C", str(folder)]
    scientist.call(*git, "add", ".gitmodules")
    link = f"160000,{commit},{VISIT.id}"
    scientist.call(*git, "update-index", "--add", "--cacheinfo", link)
    scientist.call(*git, "commit", "-q", "-m", "A visit")
    return folder


@pytest.mark.usefixtures("gitconfig")
def test_a_subdataset_that_is_obtained_later_is_switched_on_too(
    scientist: Scientist, project: Path
) -> None:
    """By DataLad's result hook, also for a folder with blanks and quotes in its name."""
    above = scientist.cloned(project, 'a "top"')
    scientist.call("datalad", "get", "-n", VISIT.id, where=above)
    visit = above / VISIT.id
    told = scientist.call("git", "-C", str(visit), "config", clones.SETTING)
    assert told == "icfrange\n"
    scientist.web.forget()
    scientist.call("datalad", "get", "v/0012.dcm", where=visit)
    assert (visit / "v/0012.dcm").read_bytes() == IMAGES[12]
    assert [one.status for one in scientist.web.sent()] == [401, 401, 206]


@pytest.mark.usefixtures("gitconfig")
def test_an_image_that_is_got_through_the_projects_clone_comes_by_itself(
    scientist: Scientist, project: Path
) -> None:
    """One command for subdataset and image: the hook runs before the image is asked for."""
    above = scientist.cloned(project, "above")
    image = f"{VISIT.id}/v/0013.dcm"
    scientist.call("datalad", "get", "-d", str(above), str(above / image))
    assert (above / image).read_bytes() == IMAGES[13]
    assert not any(
        one.path.endswith(".tar") and one.status == 200 for one in scientist.web.sent()
    )
    clones.switch_off(above)
    told = scientist.call("git", "-C", str(above / VISIT.id), "config", clones.SETTING)
    assert told == "archivist\n"


@pytest.mark.usefixtures("gitconfig")
def test_the_visit_of_a_project_in_a_dataset_of_ones_own_follows(
    scientist: Scientist, project: Path
) -> None:
    """The project's dataset hands on what it was told, and gets no half a remote."""
    own, top = scientist.folder / "own", scientist.folder / "top"
    scientist.call("datalad", "create", str(own))
    scientist.call("datalad", "clone", "-d", ".", str(project), "study_1", where=own)
    scientist.call("datalad", "clone", str(own), str(top))
    clones.switch_on(top)
    scientist.call("datalad", "get", "-n", "study_1", where=top)
    assert "archivist" not in scientist.call("git", "remote", where=top / "study_1")
    scientist.call("datalad", "get", "-n", f"study_1/{VISIT.id}", where=top)
    visit = top / "study_1" / VISIT.id
    assert scientist.call("git", "config", clones.SETTING, where=visit) == "icfrange\n"


@pytest.mark.usefixtures("gitconfig")
def test_a_visit_with_a_plain_dataset_in_it_is_switched_and_the_plain_one_is_not(
    scientist: Scientist,
) -> None:
    plain, clone = scientist.folder / "plain", scientist.clone
    scientist.call("datalad", "create", str(plain))
    clones.switch_off(clone)
    scientist.call("datalad", "clone", "-d", ".", str(plain), "code")
    assert clones.switch_on(clone) == [clone]
    scientist.call("datalad", "get", "v/0014.dcm")
    assert scientist.image(14) == IMAGES[14]
    assert not (clone / "icf/visit_1_dicom.tar").exists(), "by the whole tarball"
    scientist.call("datalad", "uninstall", "code")
    scientist.call("datalad", "get", "-n", "code")
    with pytest.raises(clones.UsageError, match="no remote 'archivist'"):
        clones.switch_on(clone / "code")
    assert "archivist" not in scientist.call("datalad", "siblings", where=clone / "code")


@pytest.fixture
def password(web: Nginx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALAD_CONFIG_OVERRIDES_JSON", json.dumps(web.login()))


@pytest.mark.parametrize("name", [None, "nobody"])
def test_without_a_credential_it_is_said_how_a_scientist_gives_one(
    web: Nginx, name: str | None
) -> None:
    """Whole, with the realm as DataLad looks for it; and nothing of the queue."""
    url = deposit.clone_url(web.url, VISIT)
    with RemoteStore(web.url, name) as remote:
        with pytest.raises(AccessDenied) as one:
            clones.wanted_dataset(remote, "study_1", "visit_1", name)
        with pytest.raises(AccessDenied) as other:
            clones.wanted_url(url, name)
    assert "answers 401" in one.value.message
    assert one.value.hint == other.value.hint
    command = one.value.hint.split("`")[1]
    assert shlex.split(command) == [
        *("datalad", "credentials", "set", name or "NAME"),
        *("type=user_password", "user=USER", f"realm={web.url}/{REALM}"),
    ]
    assert f"--credential {name or 'NAME'}" in one.value.hint
    assert "icfqueue retry" not in one.value.hint


@pytest.mark.usefixtures("password")
@pytest.mark.parametrize(
    ("project", "visit", "words"),
    [
        ("study_1", "visit_2", "did you mean visit_1?"),
        ("study_1", "nothing", "none called so"),
        ("stduy_1", "visit_1", "has no dataset of stduy_1/visit_1"),
        ("study_1", None, "as a whole"),
    ],
)
def test_what_datalad_would_turn_into_an_empty_dataset_is_refused(
    web: Nginx, project: str, visit: str | None, words: str
) -> None:
    with (
        RemoteStore(web.url) as remote,
        pytest.raises(clones.UsageError) as refused,
    ):
        clones.wanted_dataset(remote, project, visit)
    assert words in f"{refused.value.message} {refused.value.hint}"


@pytest.mark.usefixtures("password")
def test_the_command_clones_with_range_access_on(
    web: Nginx, monkeypatch: pytest.MonkeyPatch, make_folder: Callable[[], Path]
) -> None:
    folder = make_folder()
    monkeypatch.chdir(folder)
    with RemoteStore(web.url) as remote:
        clones.clone(clones.wanted_dataset(remote, "study_1", "visit_1"), folder / "x")
    wanted = clones.wanted_url(deposit.clone_url(web.url, VISIT), None)
    assert wanted.name == "visit_1"
    web.forget()
    datalad = programs.find_program("datalad")
    subprocess.run([datalad, "get", "v/0011.dcm"], cwd=folder / "x", check=True)
    assert (folder / "x/v/0011.dcm").read_bytes() == IMAGES[11]
    assert [one.status for one in web.sent()] == [401, 401, 206]


@pytest.fixture
def make_folder() -> Iterator[Callable[[], Path]]:
    made = []

    def make() -> Path:
        made.append(places.folder_of_its_own("icfqueue-test-"))
        return made[-1]

    yield make
    for folder in made:
        places.remove(folder)
