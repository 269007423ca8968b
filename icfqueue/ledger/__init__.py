"""The visits' records and all that workers share: locks, notes, room, whose turn it is."""
