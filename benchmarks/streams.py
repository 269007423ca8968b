"""Tarballs that are read as they come: how full the line is kept, and what is written.

Wants nginx, curl, ip and tc (Debian: nginx-light, curl, iproute2).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks import inputs
from benchmarks.commands import program, status
from benchmarks.measure import Facts, Row, Side, environment, mid, timed
from benchmarks.scale import Scale

ROOT = Path(__file__).parents[1]
JOBS = 2
LINE = 125_000_000
"""Bytes a second: 1 Gbit/s."""
LINE_MOST, FREE_MOST, BIG_MOST = 1.10, 3.0, 1.5
WRITTEN_MOST = 3.0
MEMORY_MOST, DISK_MOST = 200, 20
SIZE = 2_000_000
"""Bytes of a DICOM file of the large tarball."""


def rows(scale: Scale) -> Iterator[Row]:
    """Yield the rows of this module."""
    copies = {"structural": scale.of(2, 12), "functional": scale.of(1, 6)}
    repeat = scale.of(1, min(3, scale.repeat))
    with _web(copies) as (web, size):
        what = f"{sum(copies.values())} visits of {size / 1e9:.1f} GB"
        where = {"web": str(web)}
        slow, fast, others = [], [], []
        for _ in range(repeat):
            slow.append(Side("streams:on_a_line", where).run())
            fast.append(Side("streams:project", where).run())
            others.append(Side("streams:curl_project", where).run())
        row = _row(f"run --stream --jobs {JOBS}, {what}, over a line of 1 Gbit/s", slow)
        row.reference, row.against = size / LINE, "bytes / rate"
        ratio = mid(slow, "seconds") / row.reference
        yield row.judge(ratio, f"{ratio:.2f} x", most=LINE_MOST, unit=" x")
        row = _row(f"run --stream --jobs {JOBS}, {what}, as fast as it goes", fast)
        row.reference = mid(others, "seconds")
        row.against = f"curl | md5sum, {JOBS} at once"
        ratio = mid(fast, "seconds") / row.reference
        yield row.judge(ratio, f"{ratio:.2f} x", most=FREE_MOST, unit=" x")
        share = 100 * max(run["written"] for run in slow + fast) / size
        row = Row("the same, written to a disk by workers and broker", facts=fast[-1])
        outputs = 100 * fast[-1]["outputs"] / size
        text = f"{share:.1f} % of the tarballs, of which outputs {outputs:.1f} %"
        yield row.judge(share, text, most=WRITTEN_MOST, unit=" %")
    yield from _big(scale)


def _row(case: str, runs: list[Facts]) -> Row:
    row = Row(case, ours=mid(runs, "seconds"), facts=runs[-1])
    row.samples["ours"] = [run["seconds"] for run in runs]
    row.peak_mb = max(run["peak_mb"] for run in runs)
    return row


def _big(scale: Scale) -> Iterator[Row]:
    """Yield the rows of a tarball that is on no disk at all."""
    size = scale.of(1, 20) * 1_000_000_000
    with _generating(size // SIZE) as url:
        ours = Side("streams:steps", {"url": url}).run()
        other = Side("streams:curl", {"url": url, "names": ["big_dicom.tar"]}).run()
    row = _row(f"all steps of a tar of {size / 1e9:.0f} GB, made as it is sent", [ours])
    row.reference, row.against = other["seconds"], "curl | md5sum"
    ratio = ours["seconds"] / other["seconds"]
    yield row.judge(ratio, f"{ratio:.2f} x", most=BIG_MOST, unit=" x")
    row = Row("the same, memory of the process", peak_mb=ours["own_mb"])
    yield row.judge(
        ours["own_mb"], f"{ours['own_mb']:.0f} MB", most=MEMORY_MOST, unit=" MB"
    )
    row = Row("the same, most on the disk", facts={"peak_disk_mb": ours["peak_disk_mb"]})
    disk = ours["peak_disk_mb"]
    yield row.judge(disk, f"{disk:.1f} MB", most=DISK_MOST, unit=" MB")


# Sides


def on_a_line(web: str) -> Facts:
    """Do :func:`project` where loopback is a line of 1 Gbit/s, which all share.

    In a network of its own; who is not root needs user namespaces for that.
    """
    shape = f"tc qdisc add dev lo root tbf rate {8 * LINE} burst 256kb latency 50ms"
    command = ["unshare", "--net", *([] if os.getuid() == 0 else ["--map-root-user"])]
    command += ["sh", "-c", f'ip link set lo up && {shape} && exec "$@"', "sh"]
    command += [sys.executable, "-m", "benchmarks.measure", "streams:project"]
    done = subprocess.run(
        [*command, json.dumps({"web": web})], stdout=subprocess.PIPE, check=True
    )
    facts: Facts = json.loads(done.stdout.splitlines()[-1])
    return facts


def project(web: str) -> Facts:
    """Stream a project by the whole command, its start and end included."""
    facts: Facts = {}
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:JOBS])
    with inputs.workspace() as folder, _nginx(folder / "nginx", Path(web)) as url:
        store = folder / "store"
        store.mkdir()
        command = [program(), "run", inputs.PROJECT, "--remote", "--stream"]
        where = ["--jobs", str(JOBS), "--store-dir", str(store), "--store-url", url]
        with timed(facts):
            process = subprocess.Popen(
                [*command, *where], env=environment(), stdout=subprocess.DEVNULL
            )
            with _written_by(process.pid) as written:
                assert process.wait(1800) == 0
        found = status(store)
        assert found["counts"]["done"] == len(found["visits"])
        assert not list((store / inputs.PROJECT).glob("*_dicom.tar"))
        files = [path for path in (store / inputs.PROJECT).rglob("*") if path.is_file()]
        facts["outputs"] = sum(path.stat().st_size for path in files)
        facts["written"] = max(facts["outputs"], sum(written.values()))
    return facts


def curl_project(web: str) -> Facts:
    """Have curl receive all tarballs of a project and md5sum hash them."""
    names = [path.name for path in (Path(web) / inputs.PROJECT).glob("*_dicom.tar")]
    with inputs.workspace() as folder, _nginx(folder / "nginx", Path(web)) as url:
        return curl(url, names)


def curl(url: str, names: list[str]) -> Facts:
    """Have curl receive tarballs and md5sum hash them, two at once."""
    facts: Facts = {}
    script = f'curl -sf "{url}/{inputs.PROJECT}/$0" | md5sum >/dev/null'
    with timed(facts):
        subprocess.run(
            ["xargs", "-P", str(JOBS), "-n", "1", "sh", "-c", script],
            input="\n".join(names).encode(),
            check=True,
        )
    return facts


def steps(url: str) -> Facts:
    """Do the steps of the large tarball in this process; look at memory and disk."""
    from icfqueue.core.options import Options
    from icfqueue.core.settings import Settings
    from icfqueue.core.visit import Visit
    from icfqueue.steps import cleanup, export_repo, fetch, index_tar, write_json
    from icfqueue.steps.job import Job
    from icfqueue.store.directory import Store

    facts: Facts = {}
    visit = Visit(inputs.PROJECT, "big")
    with inputs.workspace() as root:
        (root / inputs.PROJECT).mkdir()
        options = Options(url, stream=True)
        settings = Settings(store_dir=root, store_url=url)
        job = Job(visit, options, Store(root), settings, streamed=True)
        with _most_on_disk(root) as peak, timed(facts):
            for step in (fetch, index_tar, write_json, export_repo, cleanup):
                step.run(job)
        facts["peak_disk_mb"] = round(peak["bytes"] / 1e6, 1)
    lines = Path("/proc/self/status").read_text().splitlines()
    high = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    facts["own_mb"] = round(high * 1024 / 1e6, 1)
    return facts


@contextmanager
def _looking(look: Any, pause: float) -> Iterator[None]:
    """Call `look` now and then, and once at the end."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(pause):
            look()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        look()


@contextmanager
def _written_by(pid: int) -> Iterator[dict[int, int]]:
    """Yield the bytes that each process below `pid` has had written to a disk.

    What a process writes between the last look and its end is not seen: workers live as
    long as the command, but git and git-annex do not.
    """
    from benchmarks.measure import _tree

    written: dict[int, int] = {}

    def look() -> None:
        for one in _tree(pid):
            try:
                lines = Path(f"/proc/{one}/io").read_text().splitlines()
            except OSError:
                continue
            found = dict(line.split(": ") for line in lines)
            written[one] = int(found["write_bytes"])

    with _looking(look, 0.02):
        yield written


@contextmanager
def _most_on_disk(folder: Path) -> Iterator[dict[str, int]]:
    """Yield the most bytes that the files in a folder had at one moment."""
    peak = {"bytes": 0}

    def look() -> None:
        size = 0
        for here, _, names in os.walk(folder):
            for name in names:
                with suppress(OSError):
                    size += (Path(here) / name).lstat().st_blocks * 512
        peak["bytes"] = max(peak["bytes"], size)

    with _looking(look, 0.05):
        yield peak


# The stores

_SERVER = """
    server {{
        listen 127.0.0.1:{port};
        root {root};
        autoindex on;
        {more}
        location = / {{ return 401; }}
    }}
"""
"""Without a password; the tests' server is asked at its top whether it is up."""


@contextmanager
def _web(copies: dict[str, int]) -> Iterator[tuple[Path, int]]:
    """Yield a folder that has so many copies of the visits, and the bytes of them."""
    with inputs.workspace() as folder:
        project = folder / inputs.PROJECT
        project.mkdir()
        size = 0
        for kind, count in copies.items():
            tarball = inputs.tarball(kind)
            done = subprocess.run(["md5sum", tarball], capture_output=True, check=True)
            md5 = done.stdout.split()[0].decode()
            for number in range(count):
                name = f"{kind}{number}_dicom.tar"
                os.link(tarball, project / name)
                (project / f"{name}.md5sum").write_text(f"{md5}  {name}\n")
                size += tarball.stat().st_size
        yield folder, size


@contextmanager
def _nginx(folder: Path, root: Path) -> Iterator[str]:
    """Yield the address of an nginx that serves a folder to everybody."""
    sys.path.insert(0, str(ROOT / "tests"))
    from support.nginx import Nginx

    class Open(Nginx):
        def server_block(self) -> str:
            return _SERVER.format(root=self.root, port=self.port, more=self.more)

    with Open(folder, root) as web:
        yield web.url


@contextmanager
def _generating(members: int) -> Iterator[str]:
    """Yield the address of a server that makes a tar of so many members as it sends it."""
    command = [sys.executable, "-m", "benchmarks.streams", str(members), str(SIZE)]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def _serve(members: int, size: int) -> None:
    import tarfile
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    image = inputs.image(0, size)
    padding = bytes(-len(image) % 512)
    each = 512 + len(image) + len(padding)
    end = bytes(1024)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            found = self.path.endswith("_dicom.tar")
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/x-tar")
            self.send_header("ETag", '"made"')
            length = members * each + len(end) if found else 0
            self.send_header("Content-Length", str(length))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            if not self.path.endswith("_dicom.tar"):
                return
            for number in range(members):
                info = tarfile.TarInfo(f"study_1_big/{number:06d}.dcm")
                info.size, info.mtime = len(image), inputs.NEWEST
                header = info.tobuf(tarfile.USTAR_FORMAT)
                # Each image is another one: the last bytes are pixels.
                self.connection.sendmsg([header])
                self.connection.sendall(image[:-8])
                self.connection.sendall(number.to_bytes(8, "little") + padding)
            self.connection.sendall(end)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    _serve(int(sys.argv[1]), int(sys.argv[2]))
