"""What a run's artifact leads to: pages of Prefect's UI and of the store, and commands. Pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from urllib.parse import quote

from prefect_trackrecord.documents.models import RunMetadata


@dataclass(frozen=True)
class Links:
    """What a run's artifact may link to; http(s) only, as Prefect's pages strip other links.

    Attributes:
        ui: the Prefect UI; None where unknown.
        pages: further pages, each with its name.
        storage: what a command must be told to find the run; None where it finds it by itself.
    """

    ui: str | None = None
    pages: tuple[tuple[str, str], ...] = ()
    storage: str | None = None

    def task_run(self, task_run_id: str | None) -> str | None:
        """A task run's page."""
        return self._page(f"runs/task-run/{task_run_id}") if task_run_id else None

    def flow_run(self, run_id: str) -> str | None:
        """A flow run's page."""
        return self._page(f"runs/flow-run/{quote(run_id, safe='')}")

    def _page(self, path: str) -> str | None:
        if not self.ui or not self.ui.startswith(("http://", "https://")):
            return None
        return f"{self.ui.rstrip('/')}/{path}"

    def commands(self, run: RunMetadata) -> list[str]:
        """The commands that go on from here, as they work in any folder."""
        where = f" --storage {shlex.quote(self.storage)}" if self.storage else ""
        found = [f"trackrecord runs show {run.run_id}{where}"]
        if (run.failed_count or run.never_began) and run.items_parameter and run.deployment_id:
            found.append(f"trackrecord retry {run.run_id}{where}")
        return found
