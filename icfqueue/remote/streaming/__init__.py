"""A tarball as it comes from the store, over as many connections as it takes."""
