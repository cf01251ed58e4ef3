"""Which outcomes of one item are one file: equal calls within one turn of a flow are files of their own.

Tasks run in many processes, so no writer can count how often a task was called with the same path. Here all events are
at hand: the n-th call of a turn is the same file as the n-th call of every other turn. A flow run that was suspended
begins anew in the same turn, as Prefect counts them; what comes after that is told apart by its time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime

from prefect_trackrecord import events as ev


def by_file(
    outcomes: Sequence[ev.FileTracked], resumed: Sequence[tuple[int, datetime]] = ()
) -> list[list[ev.FileTracked]]:
    """The outcomes of one item, one list for each file, in the order in which they happened.

    Of one task run only its last event counts: it holds all attempts, an earlier one was written when the task seemed
    to be torn away. Outcomes that no task run made are attempts of one file.

    Args:
        outcomes: of the item.
        resumed: turn and time of each moment at which a turn went on after it was suspended, in order.
    """
    if len(outcomes) == 1:
        return [list(outcomes)]
    loose: list[ev.FileTracked] = []
    turns: dict[tuple[int, int], dict[str, ev.FileTracked]] = {}
    for outcome in sorted(outcomes, key=lambda o: (o.turn, o.at)):
        task_run = outcome.row.get("task_run_id")
        if task_run is None:
            loose.append(outcome)
        else:
            part = bisect_right(resumed, (outcome.turn, outcome.at)) if resumed else 0
            turns.setdefault((outcome.turn, part), {})[str(task_run)] = outcome
    files: list[list[ev.FileTracked]] = [loose] if loose else []
    placed: list[list[ev.FileTracked]] = []
    for _, calls in sorted(turns.items()):
        for n, outcome in enumerate(calls.values()):
            if n == len(placed):
                placed.append([])
            placed[n].append(outcome)
    return files + placed
