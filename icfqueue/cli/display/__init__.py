"""What the commands show: columns that fit, causes, projects and visits."""
