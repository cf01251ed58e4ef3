"""`make demo`: a real flow tracked twice, its history, its report and its mail; everything under `demo-output/`.

It needs no server and no mail server: Prefect runs on its embedded API, and the mail is left in an outbox.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import sysconfig
import time
from datetime import datetime, timezone
from pathlib import Path

MARK = ".made-by-the-demo"
ENVIRONMENT = {
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "true",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # its database is made first, which a busy machine feels
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",  # there are no automations
    # The embedded API stores task runs one by one by default and lags minutes behind; in batches it keeps up.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    # Two log rows a file would double the work; what failed is told by the progress, the documents and the UI.
    "PREFECT_LOGGING_LOGGERS_PREFECT_TASK_RUNS_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING",
}
CONFIG = """\
title: Python files
timezone: UTC
date_from: {start}
date_to: {end}
recipients:
  - name: Demo Reader
    email: reader@example.com
"""


def main() -> int:
    """Run the demo; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(sysconfig.get_path("stdlib")), help="what is checked")
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="where everything is written")
    given = parser.parse_args()
    folder, output = given.folder.absolute(), given.output.absolute()
    if not make_empty(output):
        print(f"{output} was not made by the demo; name another folder with --output", file=sys.stderr)
        return 2
    set_environment(output)

    import demo_steps as steps  # imports Prefect, which reads the environment

    began, start = time.monotonic(), datetime.now(timezone.utc).date()
    say("Starting Prefect's embedded API (it makes its database first, which may take half a minute) ...")
    first = steps.check(folder)
    first = steps.with_failures(first, output / "broken-copy")
    say("And again, on a copy of a few of them: one failure is mended, one is new.")
    second = steps.check(steps.mended_copy(first, output / "mended-copy"))
    say("The delivery report about both runs.")
    config = output / "delivery_report.yaml"
    config.write_text(CONFIG.format(start=start, end=datetime.now(timezone.utc).date()), encoding="utf-8")
    well = steps.report(config)
    say("Waiting until Prefect's API has stored what it was told ...")
    steps.wait_for_api()
    say(f"Done in {time.monotonic() - began:.0f} s. Where to look:")
    print(steps.where_to_look(output, {"first": first, "second": second}))
    return 0 if well else 1


def say(text: str) -> None:
    """A heading."""
    print(f"\n{text}", flush=True)


def make_empty(output: Path) -> bool:
    """An empty folder for the demo; False where one is there that holds somebody else's files."""
    if output.is_dir() and any(output.iterdir()):
        if not (output / MARK).exists():
            return False
        shutil.rmtree(output)
    output.mkdir(parents=True, exist_ok=True)
    (output / MARK).touch()
    return True


def set_environment(output: Path) -> None:
    """Nothing of the user's own Prefect: all of it lies in the output folder."""
    for name in list(os.environ):
        if name.startswith(("PREFECT_", "TRACKING_PATH", "TRACKRECORD_")):
            del os.environ[name]
    os.environ.update(ENVIRONMENT)
    os.environ["PREFECT_HOME"] = str(output / "prefect")
    os.environ["TRACKING_PATH"] = str(output / "history")


if __name__ == "__main__":
    sys.exit(main())
