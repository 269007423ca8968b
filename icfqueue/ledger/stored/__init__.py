"""How a record lies in the broker: its text, checked when it is read, and its layout."""
