"""Makes the sample runs of the report's tests importable."""

import sys
from pathlib import Path

_SAMPLES = str(Path(__file__).resolve().parent.parent / "report")
if _SAMPLES not in sys.path:
    sys.path.insert(0, _SAMPLES)

sys.path.insert(0, str(Path(__file__).resolve().parent))

import pytest  # noqa: E402

from prefect_trackrecord.delivery.server import VARIABLES  # noqa: E402


@pytest.fixture(autouse=True)
def _no_mail_server_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
