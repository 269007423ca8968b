"""Whether member paths or tags tell who a person is; no value ever leaves here."""
