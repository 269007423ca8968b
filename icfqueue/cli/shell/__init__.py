"""Command lines and their shell: given again, completed, described; its umask."""
