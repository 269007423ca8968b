"""The store on the web: what it lists, and downloads from it."""
