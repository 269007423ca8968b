"""A board in memory that a process shares with its forks: each writes into a slot.

So the main process of a worker knows what its children do without a question to anybody.
The memory is mapped before they are forked, and has no name by which others could reach it.
"""

from __future__ import annotations

import mmap
import struct

SLOTS = 512
"""How many processes can write; more share their slots, and the last word of one stands."""

SIZE = 512
"""Bytes of a slot; a longer text is not shown."""

_HEAD = struct.Struct("=IHxx")
"""A count of writes, odd while one is under way, and the length of the text."""


class Board:
    """Slots of text, shared by all processes that are forked after it was made."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, SLOTS * SIZE)

    def write(self, slot: int, text: str) -> None:
        """Write into a slot, which no other process writes into."""
        start = (slot % SLOTS) * SIZE
        data = text.encode()
        if len(data) > SIZE - _HEAD.size:
            data = b""
        count = _HEAD.unpack_from(self._memory, start)[0] | 1
        _HEAD.pack_into(self._memory, start, count, 0)
        begin = start + _HEAD.size
        self._memory[begin : begin + len(data)] = data
        _HEAD.pack_into(self._memory, start, (count + 1) & 0xFFFFFFFF, len(data))

    def read(self) -> list[str]:
        """Return what stands in the slots; one that is just being written is left out."""
        found = []
        for start in range(0, SLOTS * SIZE, SIZE):
            count, length = _HEAD.unpack_from(self._memory, start)
            if not length or count % 2:
                continue
            begin = start + _HEAD.size
            data = self._memory[begin : begin + length]
            if _HEAD.unpack_from(self._memory, start)[0] == count:
                found.append(data.decode("utf-8", "replace"))
        return found
