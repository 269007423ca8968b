"""Run a program without memory that is both written to and executed.

``python no_new_code.py PROGRAM ARGUMENT…``: what systemd's ``MemoryDenyWriteExecute=`` asks
for, here by the kernel's own switch, which all programs inherit that are started from it.
Source: PR_SET_MDWE(2const), Linux 6.3 or newer; an older one runs the program as it is.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)
    os.execv(sys.argv[1], sys.argv[1:])
