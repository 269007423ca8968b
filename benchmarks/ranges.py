"""``python -m benchmarks.ranges``: what range access costs a deposit, and what it saves.

Wants an nginx (Debian: nginx-light), before which the visits lie with a password.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import inputs

ROOT = Path(__file__).parents[1]
SERIES = 200
RUNS = 5


def main() -> None:
    """Measure both kinds of visits, and print a line for each figure."""
    os.environ |= inputs.home()
    # The server that the tests use, too.
    sys.path.insert(0, str(ROOT / "tests"))
    from icfqueue.dataset import clone as places
    from icfqueue.dataset import programs

    os.environ["PATH"] = programs.search_path()
    for kind in inputs.SHAPES:
        folder = places.folder_of_its_own("icfqueue-bench-")
        try:
            _measure(kind, folder)
        finally:
            places.remove(folder)


def _measure(kind: str, folder: Path) -> None:
    from support.nginx import Nginx

    from icfqueue.core.visit import Visit
    from icfqueue.outputs import deposit

    visit = Visit("study_1", kind)
    root = folder / "store"
    (root / visit.project).mkdir(parents=True)
    tarball = root / visit.project / visit.tarball
    shutil.copy(inputs.tarball(kind), tarball)
    print(f"{inputs.called(kind)}: tarball of {tarball.stat().st_size:,} bytes")
    with Nginx(folder / "nginx", root) as web:
        _deposits(visit, root, web.url)
        os.environ["DATALAD_CONFIG_OVERRIDES_JSON"] = json.dumps(web.login())
        url = deposit.clone_url(web.url, visit)
        _call(folder, "datalad", "clone", url, str(folder / "clone"))
        _gets(folder, web)


def _deposits(visit: Any, root: Path, url: str) -> None:
    """Deposit the visit without the places and with them, some times each."""
    from icfqueue.core.options import Options
    from icfqueue.core.settings import Settings
    from icfqueue.outputs import tarball_index
    from icfqueue.steps import export_repo, index_tar, write_json
    from icfqueue.steps.job import Job
    from icfqueue.store.directory import Store

    job = Job(visit, Options(url), Store(root), Settings(store_dir=root, settle=0))
    index_tar.run(job)
    write_json.run(job)
    real = tarball_index.read_offsets
    sizes, seconds = {}, {}
    for what, look in (("without places", lambda *_: None), ("with places", real)):
        taken = []
        for _ in range(RUNS):
            for name in (visit.refs, visit.repo_export):
                (root / visit.project / name).unlink(missing_ok=True)
            export_repo.tarball_index.read_offsets = look
            began = time.perf_counter()
            export_repo.run(job)
            taken.append(time.perf_counter() - began)
        seconds[what] = median(taken)
        sizes[what] = (root / visit.project / visit.repo_export).stat().st_size
        print(f"  deposit {what}: {sizes[what]:,} bytes, {seconds[what]:.2f} s")
    for of in (sizes, seconds):
        before, after = of.values()
        print(f"    {after / before - 1:+.1%} {'bytes' if of is sizes else 's'}")


def _gets(folder: Path, web: Any) -> None:
    """Get one image and a series, by range and by the whole tarball."""
    from icfqueue.client import clones

    listed = _call(folder / "clone", "git", "ls-files", "-z").split("\0")
    images = sorted(path for path in listed if path and not path.startswith((".", "icf/")))
    for what, names in (("one image", images[:1]), (f"{SERIES} images", images[:SERIES])):
        for how in ("by range", "by the whole tarball"):
            clone = folder / "copy"
            shutil.copytree(folder / "clone", clone, symlinks=True)
            if how == "by range":
                clones.switch_on(clone)
            web.forget()
            began = time.perf_counter()
            _call(clone, "git", "annex", "get", "-q", *names)
            took = time.perf_counter() - began
            moved = sum(one.sent for one in web.sent())
            own = sum((clone / name).stat().st_size for name in names)
            print(
                f"  {what} {how}: {moved:,} bytes for {own:,} "
                f"({moved / own:.3f}), {took:.1f} s"
            )
            _call(folder, "chmod", "-R", "u+w", str(clone))
            shutil.rmtree(clone)


def _call(where: Path, *command: str) -> str:
    done = subprocess.run(
        command, cwd=where, capture_output=True, text=True, check=False, errors="replace"
    )
    if done.returncode:
        raise RuntimeError(f"{command[:3]} failed: {done.stderr[-500:]}")
    return done.stdout


if __name__ == "__main__":
    main()
