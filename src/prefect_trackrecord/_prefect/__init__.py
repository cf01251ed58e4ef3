"""All the glue to Prefect: the only room that imports it."""
