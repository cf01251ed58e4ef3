"""`trackrecord demo`: two tracked runs over real files, their records, the report about them and its mail."""

from __future__ import annotations

import os
import shutil
import sysconfig
from datetime import datetime, timezone
from pathlib import Path

from prefect_trackrecord.cli.output import dump, note, say
from prefect_trackrecord.cli.progress import waiting
from prefect_trackrecord.delivery import parse_config, run_delivery_report
from prefect_trackrecord.documents.models import FileStatus, RunMetadata
from prefect_trackrecord.errors import UsageError
from prefect_trackrecord.record import RecordStatus, Status, ThoughtfulRecord
from prefect_trackrecord.tracking import RunTracker, TrackingStorage

MARK = ".made-by-trackrecord-demo"
COMMAND = "check-modules"
PACKAGES = (
    "json",
    "logging",
    "email",
    "http",
    "html",
    "urllib",
    "wsgiref",
    "xml/dom",
    "importlib",
    "concurrent/futures",
)
BROKEN = {"colon": "\nfor for in in:\n", "indent": "\n\tindented = True\n"}


class Package(ThoughtfulRecord):
    """A package of the standard library, as a business record."""

    id: str
    modules: int = 0
    bytes: int = 0
    status: RecordStatus = RecordStatus("")


def demo(output: Path, as_json: bool) -> int:
    """Make it, and say where to look."""
    output = Path(os.path.abspath(output))
    _make_empty(output)
    storage = TrackingStorage(base_path=output / "history")
    folders = _copies(output / "modules")
    with waiting("compiling modules"):
        first = _check(folders, storage)
    (folders[0] / "broken_colon.py").write_text("mended = True\n", encoding="utf-8")
    (folders[1] / "broken_return.py").write_text("return outside\n", encoding="utf-8")
    with waiting("compiling them again"):
        second = _check(folders, storage)
    config = parse_config(
        {"title": "Modules", "window": "today", "recipients": [{"name": "Demo Reader", "email": "reader@example.com"}]}
    )
    delivered = run_delivery_report(config, now=datetime.now(timezone.utc), archive=storage.archive)
    history = output / "history"
    found = {
        "runs": [run.run_id for run in (first, second)],
        "history": str(history),
        "report": str(next(history.glob("reports/**/*.html"))),
        "mail": str(next(history.glob("deliveries/**/*.eml"))),
        "records": str(next(history.glob(f"records/**/{second.run_id}/records_report.html"))),
    }
    if as_json:
        dump(found)
        return 0
    for name, run in (("first", first), ("second", second)):
        say(f"{name} run: {run.status.value}, {run.total_files} files, {run.failed_count} failed")
    say(f"report: {delivered.report.verdict.sentence}")
    note("\nWhere to look:")
    say(f"  the report's page   {found['report']}")
    say(f"  its mail            {found['mail']}")
    say(f"  the records' page   {found['records']}")
    say(f"  the history         trackrecord runs list --storage {history}")
    say(f"  what failed         trackrecord files failed --storage {history}")
    return 0


def _make_empty(output: Path) -> None:
    """An empty folder; that of an earlier demo is made anew.

    Raises:
        UsageError: somebody else's files are in it, or it can't be made.
    """
    try:
        if output.is_dir() and any(output.iterdir()):
            if not (output / MARK).exists():
                raise UsageError(f"{output} has files that this demo did not make; name another folder with --output")
            shutil.rmtree(output)
        output.mkdir(parents=True, exist_ok=True)
        (output / MARK).touch()
    except OSError as exc:
        raise UsageError(f"{output} can't be made: {exc.strerror or exc}") from None


def _copies(target: Path) -> list[Path]:
    """Copies of some packages of this interpreter, two of them with a module that is broken."""
    library = Path(sysconfig.get_path("stdlib"))
    folders = []
    for name in PACKAGES:
        modules = sorted((library / name).glob("*.py"))
        if not modules:
            continue
        folder = target / name.replace("/", ".")
        folder.mkdir(parents=True)
        for module in modules:
            shutil.copyfile(module, folder / module.name)
        folders.append(folder)
    if len(folders) < 2:
        raise UsageError(f"there are no modules in {library} to try the demo on")
    for folder, (name, text) in zip(folders, BROKEN.items(), strict=False):
        (folder / f"broken_{name}.py").write_text(text, encoding="utf-8")
    return folders


def _check(folders: list[Path], storage: TrackingStorage) -> RunMetadata:
    """Compile every module: each a file of the run, each package a record."""
    with RunTracker(COMMAND, storage=storage) as tracker:
        for folder in folders:
            package = Package(id=folder.name)
            package.status = Status.RUNNING
            failed = sum(not _compile(tracker, package, path) for path in sorted(folder.glob("*.py")))
            package.status = Status.FAILED if failed else Status.COMPLETED
            package.log_trace("Checked", reason=f"{failed} of {package.modules} modules are broken" if failed else "")
    return storage.archive.run(tracker.run_id)


def _compile(tracker: RunTracker, package: Package, path: Path) -> bool:
    source = path.read_bytes()
    package.modules += 1
    package.bytes += len(source)
    try:
        compile(source, str(path), "exec", dont_inherit=True)
    except SyntaxError as exc:
        tracker.track_file(
            str(path),
            FileStatus.FAILED,
            file_type="python",
            error_type=type(exc).__name__,
            error_message=str(exc),
            traceback=exc,
        )
        return False
    tracker.track_file(str(path), FileStatus.SUCCESS if source else FileStatus.SKIPPED, file_type="python")
    return True
