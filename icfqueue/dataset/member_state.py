"""Where in a tarball a member's content begins, as git-annex's remote state has it.

git-annex keeps for each key and special remote one line of the remote's own: the remote
state, set and asked for by ``SETSTATE`` and ``GETSTATE`` of the external special remote
protocol and kept as ``<key>.log.rmt`` on the git-annex branch. Programs that do not ask
for it never see it.

Sources: https://git-annex.branchable.com/internals/ (``*.log.rmt``),
https://git-annex.branchable.com/design/external_special_remote_protocol/ (``GETSTATE``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_STATE = re.compile(r"offset=(\d{1,19}(?:,\d{1,19})*)", re.ASCII)


def encode_state(offsets: Iterable[int]) -> str:
    """Return the state of a key whose content begins at `offsets` (bytes) of a tarball."""
    return "offset=" + ",".join(str(offset) for offset in sorted(set(offsets)))


def decode_state(state: str) -> list[int]:
    """Return the offsets (bytes) that `state` tells, ascending; none if it is not ours."""
    known = _STATE.fullmatch(state)
    return [int(offset) for offset in known[1].split(",")] if known else []


def state_log(stamp: bytes, remote: bytes, offsets: Iterable[int]) -> bytes:
    """Return the content of a ``.log.rmt`` file.

    Parameters
    ----------
    stamp
        The time of the entry, as git-annex writes it: ``1577836800s``.
    remote
        UUID of the special remote.
    """
    return b"%s %s %s\n" % (stamp, remote, encode_state(offsets).encode())
