"""The visits' records: what they may become, and where they are kept."""
