"""The six steps of a visit: siblings that do not know each other."""
