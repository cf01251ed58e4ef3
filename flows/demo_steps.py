"""The steps of the demo, once its environment is set."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from check_python_files import check_python_files
from delivery_report import delivery_report
from prefect.client.orchestration import get_client

from prefect_trackrecord import FileProcessingLog, FileStatus, RunMetadata
from prefect_trackrecord.documents.fingerprint import normalise_message
from prefect_trackrecord.documents.layout import day_of, files_key, run_key
from prefect_trackrecord.tracking import resolve_storage

UNCHANGED = 6
MENDED = '"""This file could not be compiled; the demo has mended it."""\n'
BROKEN = ("\nfor for in in:\n", "\nunfinished = (1,\n", "\n\tindented = True\n", "\nreturn outside\n")
API_SECONDS = 60.0


class Checked(NamedTuple):
    """A run of the flow: its folder, and what its documents hold."""

    folder: Path
    run: RunMetadata
    rows: list[FileProcessingLog]

    def named(self, status: FileStatus) -> dict[str, FileProcessingLog]:
        """The rows of a status by the file's name in the folder."""
        return {str(Path(r.file_path).relative_to(self.folder)): r for r in self.rows if r.status is status}


def check(folder: Path) -> Checked:
    """Run the flow over a folder and read what was kept of it."""
    print(f"Checking {folder}", flush=True)
    state = check_python_files(folder, return_state=True)
    archive = resolve_storage().archive
    run = archive.run(str(state.state_details.flow_run_id))
    print(f"{state.name}: {state.message or 'nothing failed'}", flush=True)
    return Checked(folder, run, archive.files(run))


def with_failures(done: Checked, folder: Path) -> Checked:
    """`done`, if it has two kinds of failures; else a run over a copy of some files that has.

    Interpreters without the `test` package come without broken files.
    """
    if len({r.error_fingerprint for r in done.named(FileStatus.FAILED).values()}) >= 2:
        return done
    print("This standard library has no broken files; the demo breaks two in a copy.")
    names = list(done.named(FileStatus.SUCCESS))[: UNCHANGED + 2]
    copy(done.folder, folder, names)
    for name, text in zip(names, BROKEN[2:], strict=False):
        append(folder / name, text)
    return check(folder)


def mended_copy(done: Checked, folder: Path) -> Path:
    """A copy of a few files: six that came through, one that fails as before, one mended, and one broken anew."""
    failed = done.named(FileStatus.FAILED)
    kinds = {row.error_fingerprint: name for name, row in failed.items()}
    mended, again = sorted(kinds.values())[:2]
    good = [n for n, r in done.named(FileStatus.SUCCESS).items() if Path(r.file_path).stat().st_size < 50_000]
    *unchanged, new = good[: UNCHANGED + 1]
    copy(done.folder, folder, [*unchanged, mended, again, new])
    (folder / mended).write_text(MENDED, encoding="utf-8")
    append(folder / new, breakage(folder / new, {normalise_message(row.error_message) for row in failed.values()}))
    return folder


def breakage(path: Path, known: set[str]) -> str:
    """A text that breaks the file with an error that is none of the known ones: two files may fail of one error."""
    for text in BROKEN:
        try:
            compile(path.read_bytes() + text.encode(), path.name, "exec", dont_inherit=True)
        except SyntaxError as exc:
            if normalise_message(str(exc)) not in known:
                return text
    return BROKEN[0]


def copy(source: Path, target: Path, names: list[str]) -> None:
    """Copy files by their names in the folder."""
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes((source / name).read_bytes())


def append(path: Path, text: str) -> None:
    """Add a text at the end of a file."""
    path.write_bytes(path.read_bytes() + text.encode())


def wait_for_api() -> None:
    """Wait until Prefect's embedded API has stored all task runs: it stops with this process, whatever it still has."""
    deadline, before = time.monotonic() + API_SECONDS, -1
    final = {"task_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]}}}}
    with get_client(sync_client=True) as api:
        while time.monotonic() < deadline:
            known = int(api.request("POST", "/task_runs/count", json=final).json())
            waiting = int(api.request("POST", "/task_runs/count", json={}).json()) - known
            if known == before and not waiting:
                break
            before = known
            time.sleep(2)


def report(config: Path) -> bool:
    """Run the delivery report's flow; returns whether it went well."""
    state = delivery_report(config, return_state=True)
    print(state.result(raise_on_failure=False)["verdict"] if state.is_completed() else state.message, flush=True)
    return state.is_completed()


def where_to_look(output: Path, runs: Mapping[str, Checked]) -> str:
    """What the demo made, and how to look at it."""
    history = output / "history"
    programs = Path(sys.executable).parent
    lines = []
    for name, done in runs.items():
        counts = f"{done.run.total_files:,} files, {done.run.failed_count:,} failed, {done.run.skipped_count:,} skipped"
        day = day_of(done.run.started_at)
        lines += [
            f"  {name} run: {done.run.status.value}, {counts}",
            f"      {history / run_key(done.run.run_id, day)}",
            f"      {history / files_key(done.run.run_id, day)}",
        ]
    page = next(history.glob("reports/**/*.html"), None)
    mail = next(history.glob("deliveries/**/*.eml"), None)
    place = shlex.quote(str(history))
    return "\n".join(
        [
            *lines,
            f"  report page: {page}",
            f"  mail:        {mail}",
            f"  history:     {programs / 'trackrecord'} runs list --storage {place}",
            f"  Prefect UI:  PREFECT_HOME={shlex.quote(str(output / 'prefect'))} {programs / 'prefect'} server start",
            "               then open http://127.0.0.1:4200/runs",
        ]
    )
