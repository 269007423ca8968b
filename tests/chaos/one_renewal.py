"""Renews a superdataset in a process of its own, which is killed after a while.

Started by :mod:`test_superdataset`; a request is a line of JSON on stdin, the answer a
line on stdout: the exit status of the process that did it. It forks, because importing
everything takes longer than a renewal.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any

from icfqueue.core.visit import Visit
from icfqueue.dataset.superdataset import renewal
from icfqueue.store.directory import Store


def renew(request: dict[str, Any]) -> None:
    visits = [Visit(request["project"], name) for name in request["visits"]]
    renewal.renew(Store(Path(request["root"])), request["project"], visits, request["url"])


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if not pid:
            status = 1
            try:
                renew(request)
                status = 0
            finally:
                sys.stderr.flush()
                os._exit(status)
        if request["seconds"] is not None:
            ended = os.pidfd_open(pid)
            if not select.select([ended], [], [], request["seconds"])[0]:
                os.kill(pid, signal.SIGKILL)
            os.close(ended)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        sys.stdout.write(f"{status}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
