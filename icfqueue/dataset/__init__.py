"""Git and git-annex: from metadata to a repository, and from a deposit to a clone."""
