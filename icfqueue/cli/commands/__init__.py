"""The commands: each is found by its file name, so that these are more than nine."""
