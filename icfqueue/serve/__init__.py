"""A store directory on the web: files, listings, and a page over all its projects."""
