"""Command lines as a shell sees them: given again, completed, described in manuals."""
