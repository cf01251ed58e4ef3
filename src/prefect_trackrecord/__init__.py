"""A track record for Prefect flows: runs, files, records, emails, and the report about them."""
