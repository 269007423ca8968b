"""Answers about the series of a whole project or store, and how its visits differ."""
