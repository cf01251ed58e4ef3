"""What the page of records is made from, and the call that makes it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

import orjson

from prefect_trackrecord.record.places import DEFAULT_PROCESS, DEFAULT_RUN

loading = threading.RLock()
"""Held while what makes pages is imported. A fork waits for it: a child that inherits a module which another thread
was importing would wait for that thread for ever."""


@dataclass(frozen=True)
class PageData:
    """A page's content.

    Attributes:
        title: the process, as people call it.
        subtitle: which run of it; None where there is only one.
        run_url: the run in Prefect's UI, or None.
        parts: the records, each as it stands in `records_logs.json`; `entries` reads them one at a time.
        generated_at: when.
    """

    title: str
    subtitle: str | None
    run_url: str | None
    parts: list[bytes] = field(repr=False)
    generated_at: datetime

    def entries(self) -> Iterator[dict[str, Any]]:
        """The entries of `records_logs.json`, in order of creation."""
        for part in self.parts:
            yield from orjson.loads(b"{" + part + b"}").values()

    def totals(self) -> dict[str, int]:
        """Records by status."""
        return dict(Counter(entry["status"] for entry in self.entries()).most_common())


def page_of(parts: list[bytes], process: str, run_id: str, ui_url: str | None, *, now: datetime) -> PageData:
    """A run's page.

    Args:
        parts: the records as `RunRecords.parts` gives them.
        process: the name under which the run's records are kept.
        run_id: the run.
        ui_url: base of links into Prefect's UI, or None.
        now: when this is.
    """
    return PageData(
        title="Records" if process == DEFAULT_PROCESS else process,
        subtitle=None if run_id == DEFAULT_RUN else f"Run {run_id}",
        run_url=run_link(ui_url, run_id),
        parts=parts,
        generated_at=now,
    )


def run_link(ui_url: str | None, run_id: str) -> str | None:
    """The run in Prefect's UI; None where there is no UI, or the id is none of Prefect's."""
    if not ui_url:
        return None
    try:
        UUID(run_id)
    except ValueError:
        return None
    return f"{ui_url.rstrip('/')}/runs/flow-run/{quote(run_id, safe='')}"


def render(data: PageData, images: Callable[[str], bytes | None]) -> Iterator[bytes]:
    """The page, part by part.

    Args:
        data: what it shows.
        images: the bytes of `images/<name>`, None where there is no such picture.
    """
    with loading:
        from prefect_trackrecord.pages.records import prepare, render_records_page

        prepare()
    return render_records_page(
        data.entries(),
        title=data.title,
        subtitle=data.subtitle,
        run_url=data.run_url,
        images=images,
        generated_at=data.generated_at,
    )
