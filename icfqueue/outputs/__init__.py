"""The files we leave: their formats, how they are read and checked."""
