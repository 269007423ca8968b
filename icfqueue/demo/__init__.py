"""A small real project to try everything on: its visits, its store, the tour."""
