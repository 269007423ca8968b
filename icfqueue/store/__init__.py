"""The store directory: where files lie, how they appear, what the disk says."""
