"""What `run` and `status --watch` show of a project while it is worked on."""
