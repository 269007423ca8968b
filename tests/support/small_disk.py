"""A small file system of its own for a cluster, so that errors come from the kernel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.killable_cluster import KillableCluster
from support.private_mount import PrivateMount


class SmallDisk(PrivateMount):
    """A tmpfs of so many megabytes that only its own processes see."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        super().__init__(folder, f"mount -t tmpfs -o size={megabytes}m none {{folder}}")

    def remount(self, how: str) -> bool:
        """Change the mount's options: ``ro``, ``rw``, ``size=64m``.

        With a source, though it means nothing: else mount(8) repeats the options that
        stand in the table, among them a uid that a user namespace does not have.
        """
        return self.do(f"mount -o remount,{how} none {self.folder}")


@contextmanager
def on_small_disk(
    folder: Path, store_url: str, megabytes: int = 64
) -> Iterator[tuple[KillableCluster, SmallDisk]]:
    """Yield a cluster whose store directory is a disk of that size."""
    with (
        SmallDisk(folder / "disk", megabytes) as disk,
        KillableCluster(folder, store_url, {}, disk.seen, disk.prefix) as cluster,
    ):
        cluster.env["ICFQUEUE_STORE_DIR"] = str(disk.folder)
        yield cluster, disk
