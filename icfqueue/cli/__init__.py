"""The terminal, and nothing else: commands, options, tables, progress."""
