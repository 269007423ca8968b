"""The study's pages for a browser."""
