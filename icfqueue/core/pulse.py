"""What a worker's main loop says of itself, to whoever started it.

``icfqueue worker`` gives it a pipe, whose number is in the environment; it writes a byte
into it every second.
"""

from __future__ import annotations

PULSE_VARIABLE = "ICFQUEUE_PULSE"
"""Number of the pipe."""

WORKING = b"."
WAITING = b"w"
"""The broker is away, or refuses."""
STOPPING = b"s"
"""It takes no more work; what runs may end within the grace period."""
