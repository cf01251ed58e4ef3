"""`track_command` above the functions of argparse, click, typer and cyclopts programs."""

import argparse
from typing import Annotated

import click
import cyclopts
import pytest
import typer
from click.testing import CliRunner
from typer.testing import CliRunner as TyperRunner

from prefect_trackrecord import settings
from prefect_trackrecord.callbacks import command_callbacks, track_command
from prefect_trackrecord.documents.models import RunStatus
from prefect_trackrecord.errors import DecoratorOrderError
from prefect_trackrecord.tracking import TrackingStorage


@pytest.fixture
def history(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKING_PATH", str(tmp_path / "history"))
    settings.current.cache_clear()
    return TrackingStorage(base_path=tmp_path / "history")


def work(paths):
    with command_callbacks().on_batch_start(total_files=len(paths)) as batch:
        for index, path in enumerate(paths):
            batch.on_file_end(path, index, len(paths), "success")


def check(history, status=RunStatus.SUCCESS, command="extract"):
    (run,) = history.list_runs()
    assert (run.command, run.target_date, run.status) == (command, "2025-01-25", status)
    assert run.total_files == 2
    return run


def test_argparse(history):
    @track_command("extract", target_date=lambda argv: argv[argv.index("--date") + 1])
    def main(argv):
        parser = argparse.ArgumentParser()
        parser.add_argument("paths", nargs="+")
        parser.add_argument("--date")
        work(parser.parse_args(argv).paths)

    main(["a", "b", "--date", "2025-01-25"])
    check(history)
    with pytest.raises(SystemExit) as caught:
        main(["--date", "2025-01-26"])
    assert caught.value.code == 2
    assert history.list_runs()[-1].status is RunStatus.FAILED


@pytest.mark.parametrize("below_options", [True, False])
def test_click(history, below_options):
    def extract(paths, date, code):
        work(paths)
        if code is not None:
            click.get_current_context().exit(code)

    if below_options:
        extract = track_command(extract)
    for option in (
        click.option("--code", type=int),
        click.option("--date"),
        click.argument("paths", nargs=-1),
    ):
        extract = option(extract)
    if not below_options:
        extract = track_command(extract)
    command = click.command()(extract)

    assert CliRunner().invoke(command, ["a", "b", "--date", "2025-01-25"]).exit_code == 0
    assert check(history).parameters == {"paths": ["a", "b"], "date": "2025-01-25", "code": None}


@pytest.mark.parametrize(("code", "status"), [(0, RunStatus.SUCCESS), (5, RunStatus.FAILED)], ids=["exit 0", "exit 5"])
def test_exit_of_click_and_typer(history, code, status):
    @click.command()
    @click.option("--date")
    @track_command
    def extract(date):
        work(["a", "b"])
        click.get_current_context().exit(code)

    assert CliRunner().invoke(extract, ["--date", "2025-01-25"]).exit_code == code
    check(history, status)

    app = typer.Typer()

    @app.command()
    @track_command
    def transcribe(date: str):
        raise typer.Exit(code)

    assert TyperRunner().invoke(app, ["2025-01-25"]).exit_code == code
    assert history.list_runs(command="transcribe")[0].status is status


def test_abort_of_click_and_typer(history):
    @click.command()
    @track_command
    def extract():
        raise click.Abort

    assert CliRunner().invoke(extract, []).exit_code == 1

    app = typer.Typer()

    @app.command()
    @track_command
    def transcribe():
        raise typer.Abort

    assert TyperRunner().invoke(app, []).exit_code == 1
    assert [r.status for r in history.list_runs()] == [RunStatus.ABORTED, RunStatus.ABORTED]


def test_typer(history):
    app = typer.Typer()

    @app.command()
    @track_command
    def extract(paths: Annotated[list[str], typer.Argument()], date: str = "", verbose: bool = False) -> None:
        work(paths)

    done = TyperRunner().invoke(app, ["a", "b", "--date", "2025-01-25", "--verbose"])
    assert done.exit_code == 0, done.output
    assert "[2/2] success b" in done.output
    check(history)


def test_cyclopts(history):
    app = cyclopts.App()

    @app.command
    @track_command
    def extract(*paths: str, date: str = "") -> None:
        work(paths)

    app(["extract", "a", "b", "--date", "2025-01-25"], result_action="return_value")
    check(history)


def test_above_a_click_command_it_is_refused():
    with pytest.raises(DecoratorOrderError, match="not above Command"):

        @track_command
        @click.command()
        def extract(): ...
