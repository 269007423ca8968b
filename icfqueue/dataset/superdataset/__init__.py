"""One dataset for a project: every deposited visit is a subdataset of it."""
