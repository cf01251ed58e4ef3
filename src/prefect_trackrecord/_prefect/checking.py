"""Whether Prefect's API can be reached, for `trackrecord doctor`."""

from __future__ import annotations

from prefect.settings import get_current_settings

from prefect_trackrecord._prefect import api
from prefect_trackrecord.journal.plain import mask_text

SECONDS = 10.0


def check_api() -> tuple[str | None, str | None]:
    """The configured API's URL (None: there is none), and what is wrong with it (None: nothing)."""
    url = get_current_settings().api.url
    if not url:
        return None, None
    shown = mask_text(url)
    try:
        with api.client() as prefect:
            answer = prefect.request("POST", "/flow_runs/count", json={}, timeout=SECONDS)
            answer.raise_for_status()
    except Exception as exc:  # noqa: BLE001 - whatever the client raises, the API could not be asked
        return shown, f"{type(exc).__name__}: {exc}".strip(": ")
    return shown, None
