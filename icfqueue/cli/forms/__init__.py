"""The forms in which commands print rows: table, CSV, JSON."""
