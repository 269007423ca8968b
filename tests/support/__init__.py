"""What several tests start or build; imported as ``support``."""
