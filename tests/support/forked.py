"""Work in a process of its own, which a fault may end: both ends.

A request is a line of JSON, the answer a line with the exit status of the process that did
it. The child forks for each, because importing everything takes longer than the work.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Forked:
    """Has a script do what it is asked for, each time in a process of its own."""

    def __init__(self, script: str) -> None:
        tests = Path(__file__).parents[1]
        self.process = subprocess.Popen(
            [sys.executable, str(tests / "chaos" / script)],
            # This checkout's modules, whichever one is installed.
            env={**os.environ, "PYTHONPATH": f"{tests}{os.pathsep}{tests.parent}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def send(self, **request: object) -> None:
        """Send a request that is not answered."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()

    def ask(self, **request: object) -> int:
        """Return the exit status: 0, or the negative number of a signal."""
        assert self.process.stdout
        self.send(**request)
        return int(self.process.stdout.readline())

    def close(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


def serve(work: Callable[[dict[str, Any]], object]) -> None:
    """Do what each line of stdin asks for, in a fork; tell its exit status.

    A request may say after how many ``seconds`` the fork is killed.
    """
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if not pid:
            status = 1
            try:
                work(request)
                status = 0
            finally:
                sys.stderr.flush()
                os._exit(status)
        if (seconds := request.get("seconds")) is not None:
            ended = os.pidfd_open(pid)
            if not select.select([ended], [], [], seconds)[0]:
                os.kill(pid, signal.SIGKILL)
            os.close(ended)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        sys.stdout.write(f"{status}\n")
        sys.stdout.flush()
