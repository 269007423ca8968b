"""Processes that we start: their groups, and whether they still beat."""
