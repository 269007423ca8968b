"""The report on a project as a page for people."""
