"""What is done below the store directory: by descriptors, following no link."""
