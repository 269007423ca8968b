"""What is told of visits beside their records."""
