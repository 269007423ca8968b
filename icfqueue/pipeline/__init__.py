"""How a message becomes an attempt, and an attempt the next message."""
