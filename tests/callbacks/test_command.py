"""`track_command`: a command tracks itself where a place is set; its signature, exceptions and exit codes stay."""

import asyncio
import inspect
import io
import sys
import threading
from contextlib import redirect_stdout

import pytest

from prefect_trackrecord import settings
from prefect_trackrecord.callbacks import (
    StdOutCallbackHandler,
    TrackerCallbackHandler,
    command_callbacks,
    track_command,
)
from prefect_trackrecord.documents.models import RunStatus
from prefect_trackrecord.errors import DecoratorOrderError, ParameterNameError, StorageUrlError, UsageError
from prefect_trackrecord.tracking import TrackingStorage, current_tracker
from prefect_trackrecord.tracking.values import param


@pytest.fixture
def history(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKING_PATH", str(tmp_path / "history"))
    settings.current.cache_clear()
    return TrackingStorage(base_path=tmp_path / "history")


def the_run(history):
    (run,) = history.list_runs()
    return run


def test_it_tracks_where_tracking_path_is_set(history):
    @track_command
    def extract(folder, config="pipeline.yaml", date=None):
        with command_callbacks().on_batch_start(total_files=2) as batch:
            batch.on_file_end(f"{folder}/a.wav", 0, 2, "success")
            batch.on_file_end(f"{folder}/b.wav", 1, 2, "failed", error="too short")
        return current_tracker().run_id

    run_id = extract("in", date="2025-01-25")
    run = the_run(history)
    assert run.run_id == run_id
    assert (run.command, run.subcommand, run.config_path, run.target_date) == (
        "extract", None, "pipeline.yaml", "2025-01-25",
    )  # fmt: skip
    assert run.parameters == {"folder": "in", "config": "pipeline.yaml", "date": "2025-01-25"}
    assert (run.status, run.total_files, run.failed_count) == (RunStatus.PARTIAL_SUCCESS, 2, 1)


def test_untracked_the_function_runs_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    settings.current.cache_clear()

    @track_command
    def extract(n):
        tracker = current_tracker()
        assert tracker.track_file("a.wav", "success") is False
        assert tracker.metric("rows", 3) is False
        assert tracker.record_email_results({"sent": [{"email": "a@b.com"}]}) is False
        with command_callbacks().on_batch_start(total_files=1) as batch:
            batch.on_file_end("a.wav", 0, 1, "success")
        assert tracker.run_id
        return n + 1

    assert extract(1) == 2
    assert list(tmp_path.rglob("*")) == []
    with pytest.raises(UsageError):
        current_tracker()


def test_an_untracked_run_still_refuses_what_makes_no_sense():
    @track_command
    def extract():
        current_tracker().track_file("a.wav", "sucess")

    with pytest.raises(ValueError, match="sucess"):
        extract()


def test_storage_tracks_without_tracking_path(tmp_path):
    @track_command(storage=tmp_path / "own")
    def extract(): ...

    extract()
    assert the_run(TrackingStorage(base_path=tmp_path / "own")).status is RunStatus.SUCCESS


def test_storage_from_a_parameter(tmp_path):
    @track_command(storage=param("where"))
    def extract(where=None): ...

    extract()
    extract(where=str(tmp_path / "own"))
    assert the_run(TrackingStorage(base_path=tmp_path / "own")).status is RunStatus.SUCCESS


def test_options_take_constants_parameters_and_callables(history):
    @track_command(
        "voc-extract",
        subcommand="batch",
        config_path=param("settings"),
        target_date=lambda year, month: f"{year}-{month:02}",
    )
    def run(settings, year, month): ...

    run("a.yaml", 2025, 3)
    found = the_run(history)
    assert (found.command, found.subcommand, found.config_path, found.target_date) == (
        "voc-extract", "batch", "a.yaml", "2025-03",
    )  # fmt: skip


def test_a_callable_that_raises_does_not_stop_the_command(history, caplog):
    @track_command(target_date=lambda n: 1 / n)
    def extract(n):
        return n

    assert extract(0) == 0
    run = the_run(history)
    assert run.status is RunStatus.SUCCESS
    assert run.tracking_errors == {"track_command(target_date=...) raised ZeroDivisionError: division by zero": 1}
    assert "division by zero" in caplog.text


def test_secrets_are_masked(history):
    @track_command
    def extract(api_key): ...

    extract("s3cret")
    assert the_run(history).parameters == {"api_key": "********"}


@pytest.mark.parametrize(
    ("raised", "status", "message"),
    [
        (ValueError("no such folder"), RunStatus.FAILED, "no such folder"),
        (SystemExit(3), RunStatus.FAILED, "exit code 3"),
        (SystemExit("no such folder"), RunStatus.FAILED, "no such folder"),
        (SystemExit(0), RunStatus.SUCCESS, None),
        (SystemExit(None), RunStatus.SUCCESS, None),
        (KeyboardInterrupt(), RunStatus.ABORTED, "KeyboardInterrupt"),
        (asyncio.CancelledError(), RunStatus.ABORTED, "CancelledError"),
    ],
    ids=repr,
)
def test_exceptions_pass_unchanged_and_say_how_it_ended(history, raised, status, message):
    @track_command
    def extract():
        raise raised

    with pytest.raises(type(raised)) as caught:
        extract()
    assert caught.value is raised
    run = the_run(history)
    assert (run.status, run.error_message) == (status, message)


def test_async_functions(history):
    @track_command
    async def extract(n):
        await asyncio.sleep(0)
        current_tracker().track_file("a.wav")
        return n + 1

    assert inspect.iscoroutinefunction(extract)
    assert asyncio.run(extract(1)) == 2
    assert the_run(history).success_count == 1


def test_signature_name_and_docstring_stay():
    def extract(folder: str, *, verbose: bool = False) -> int:
        """Extract it."""

    tracked = track_command()(extract)
    assert inspect.signature(tracked) == inspect.signature(extract)
    assert (tracked.__name__, tracked.__doc__, tracked.__module__) == ("extract", "Extract it.", __name__)


def test_threads_of_the_commands_own(history):
    @track_command
    def extract():
        def work():
            current_tracker().track_file("a.wav")
            command_callbacks().on_batch_start().on_file_end("b.wav")

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    extract()
    assert the_run(history).success_count == 2


def test_a_command_inside_a_command_is_its_child(history):
    @track_command
    def inner(): ...

    @track_command
    def outer():
        inner()
        return current_tracker().run_id

    run_id = outer()
    by_command = {r.command: r for r in history.list_runs()}
    assert by_command["inner"].parent_run_id == run_id
    assert by_command["outer"].parent_run_id is None


def test_outside_of_any_command_there_are_callbacks_without_handlers():
    assert command_callbacks().handlers == []


@pytest.mark.parametrize(
    ("option", "call", "argv", "shown"),
    [
        (None, {}, [], False),
        (None, {}, ["--verbose"], True),
        (None, {"verbose": True}, [], True),
        (None, {"verbose": False}, ["--verbose"], False),
        (True, {}, [], True),
        (False, {}, ["--verbose"], False),
        (param("loud"), {"loud": 1}, [], True),
        (param("loud"), {"loud": 0}, ["--verbose"], False),
    ],
)
def test_verbose_adds_the_handler_that_shows_progress(history, monkeypatch, option, call, argv, shown):
    monkeypatch.setattr(sys, "argv", ["extract.py", *argv])
    if "verbose" in call:

        @track_command(verbose=option)
        def extract(verbose):
            return [type(h) for h in command_callbacks().handlers]

    else:

        @track_command(verbose=option)
        def extract(loud=None):
            return [type(h) for h in command_callbacks().handlers]

    assert extract(**call) == [TrackerCallbackHandler, *([StdOutCallbackHandler] if shown else [])]


def test_verbose_shows_progress_untracked_too():
    @track_command(verbose=True)
    def extract():
        with command_callbacks().on_batch_start(1) as batch:
            batch.on_file_end("a.wav", 0, 1)

    with redirect_stdout(io.StringIO()) as out:
        extract()
    assert "[1/1] success a.wav" in out.getvalue()


def test_a_batch_left_open_by_an_exception_is_ended(history):
    batches = []

    @track_command
    def extract():
        batches.append(command_callbacks().on_batch_start(2))
        raise ValueError("x")

    with pytest.raises(ValueError):
        extract()
    assert batches[0]._ended


def test_main_is_named_after_the_program(history, monkeypatch):
    @track_command
    def main(): ...

    for argv, name in (["/opt/bin/nightly.py"], "nightly"), (["/src/nightly/__main__.py"], "nightly"):
        monkeypatch.setattr(sys, "argv", argv)
        main()
        assert history.list_runs()[-1].command == name


def test_bad_options_are_refused_where_the_function_is_defined():
    with pytest.raises(ParameterNameError, match=r"track_command\(target_date='dat'\).*did you mean 'date'"):

        @track_command(target_date=param("dat"))
        def one(date): ...

    with pytest.raises(StorageUrlError):

        @track_command(storage="nosuch://bucket")
        def two(): ...

    with pytest.raises(DecoratorOrderError, match="below @app.command"):
        track_command(type("Command", (), {"__call__": lambda self: None})())

    with pytest.raises(UsageError, match="generator"):

        @track_command
        def three():
            yield
