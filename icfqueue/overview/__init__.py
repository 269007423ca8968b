"""What many visits have in common: why they failed, and what holds them up."""
