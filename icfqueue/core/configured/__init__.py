"""Where settings come from: files, environment and options."""
