"""Processes: their groups, whether they beat, and where tests have them end."""
