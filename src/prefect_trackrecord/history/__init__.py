"""The read side: runs of a window, their numbers as sums, error groups, and files from run to run."""

from prefect_trackrecord.history.groups import (
    Group,
    GroupChange,
    GroupState,
    compare,
    groups_of,
    newest_by_flow,
    sum_groups,
    ungrouped,
)
from prefect_trackrecord.history.items import ItemChange, ItemChanges, ItemState, item_changes
from prefect_trackrecord.history.numbers import (
    Counts,
    Durations,
    Numbers,
    duration_ms,
    file_counts,
    flow_key,
    total,
)
from prefect_trackrecord.history.reading import History, Reads, rows_of, runs, runs_between, whole

__all__ = [
    "Counts",
    "Durations",
    "Group",
    "GroupChange",
    "GroupState",
    "History",
    "ItemChange",
    "ItemChanges",
    "ItemState",
    "Numbers",
    "Reads",
    "compare",
    "duration_ms",
    "file_counts",
    "flow_key",
    "groups_of",
    "item_changes",
    "newest_by_flow",
    "rows_of",
    "runs",
    "runs_between",
    "sum_groups",
    "total",
    "ungrouped",
    "whole",
]
