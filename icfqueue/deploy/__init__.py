"""Files that start workers on clusters, and how many of them a site needs."""
