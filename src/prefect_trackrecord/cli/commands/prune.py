"""`trackrecord prune`: removing old runs."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from prefect_trackrecord.cli.options import Json, Storage, in_paragraphs

command = App(
    name="prune",
    help_epilogue="Example:\n  trackrecord prune --older-than 400d --dry-run\n\n"
    "And then, to remove what it showed:\n  trackrecord prune --older-than 400d --delete",
)


@command.default
@in_paragraphs
def prune(
    *,
    older_than: str,
    storage: Storage = None,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    delete: Annotated[bool, Parameter(negative=())] = False,
    json: Json = False,
) -> int:
    """Show which runs are old, and remove them where asked to: documents, journals and records.

    Nothing is removed without --delete. Runs that still run stay, as do reports and the ledger of deliveries; and
    documents that can't be read or don't lie where their run's would, which are named, with exit code 1.

    Args:
        older_than: Runs that began so long ago: days, weeks or years, such as 400d, 60w or 2y.
        dry_run: Only show them, which is what happens without --delete as well.
        delete: Remove them.
    """
    from prefect_trackrecord.cli.prune import prune as work

    return work(storage, older_than, delete and not dry_run, json)
