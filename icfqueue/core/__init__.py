"""The words that all share: errors, settings, ids, options, step names."""
