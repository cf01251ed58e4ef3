"""The journal: append-only segments, one per writing process, and what is needed to fill and read them."""

from prefect_trackrecord.journal import printable as printable  # our log lines are one line each, whoever logs first
