"""The scientist's side: clones, and single images out of tarballs that are not here."""
