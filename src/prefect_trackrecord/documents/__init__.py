"""Documents: the seeds' JSON files, as a pure function of the journal; sealed, and read back."""
