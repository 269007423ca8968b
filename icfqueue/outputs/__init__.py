"""The files we leave: how each is written, read and checked."""
