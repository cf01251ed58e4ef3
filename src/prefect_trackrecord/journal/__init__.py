"""The journal: append-only segments, one per writing process, and what is needed to fill and read them."""
