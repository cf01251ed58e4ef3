"""Files of a transaction that is rolled back: they came through, and what was done is undone."""

from __future__ import annotations

import pytest
from prefect import flow, task
from prefect.transactions import transaction

from prefect_trackrecord import current_tracker, failed_files, track

pytestmark = pytest.mark.prefect
UNDONE = []


@track(file="path")
@task
def write(path):
    if path == "bad":
        raise ValueError("no good")
    return path


@write.on_rollback
def undo(txn):  # noqa: ARG001
    UNDONE.append(1)


@track(file="path")
@task
async def awrite(path):
    return write.fn.__wrapped__(path)


@track(file="path")
@task
def parts(path):
    yield path
    yield path


def statuses(rows):
    return {path: row.status.value for path, row in rows.items()}


@pytest.mark.parametrize("by_runner", [False, True])
def test_they_failed_with_that_reason(only_run, history, by_runner):
    @track
    @flow
    def nightly():
        write("before")
        try:
            with transaction():
                write("a")
                write.submit("b").result() if by_runner else write("b")
                write("bad")
        except ValueError:
            pass
        write("after")
        return current_tracker().final_state()

    UNDONE.clear()
    state = nightly(return_state=True)
    run, rows = only_run()
    assert UNDONE
    undone, good = {"a", "b"}, {"before", "after"}
    assert statuses(rows) == {**dict.fromkeys(good, "success"), **dict.fromkeys(undone, "failed"), "bad": "failed"}
    row = rows["a"]
    assert (row.error_type, row.error_message) == (
        "RolledBack",
        "the transaction that it was part of was rolled back",
    )
    assert [one.status for one in row.attempts] == ["failed"]
    assert row.processing_time_ms is not None
    assert state.message == f"{len(undone) + 1} of 5 files failed"
    assert run.task_counts == {"Completed": len(good), "RolledBack": len(undone), "Failed": 1}
    assert {one.file_path for one in failed_files(run.run_id, history)} == {*undone, "bad"}


async def test_async_ones_too(only_run):
    @track
    @flow
    async def nightly():
        try:
            with transaction():
                await awrite("a")
                await awrite("bad")
        except ValueError:
            pass

    await nightly()
    _, rows = only_run()
    assert statuses(rows) == {"a": "failed", "bad": "failed"}
    assert rows["a"].error_type == "RolledBack"


def test_a_transaction_that_holds(only_run):
    @track
    @flow
    def nightly():
        with transaction():
            write("a")

    nightly()
    _, rows = only_run()
    assert statuses(rows) == {"a": "success"}
    assert len(rows["a"].attempts) == 1


def test_a_generator_that_is_broken_off_is_no_failure(only_run):
    """Prefect rolls its transaction back, too."""

    @track
    @flow
    def nightly():
        for _ in parts("half"):
            break

    nightly()
    _, rows = only_run()
    assert statuses(rows) == {"half": "success"}


@track(file="path")
@task
def plain(path):
    if path == "bad":
        raise ValueError("no good")


@track(file="path")
@task
async def aplain(path):
    return path


FAILS = []


@task
def one_by_one(paths):
    for path in paths:
        plain(path)


@task
def mapped(paths):
    plain.map(paths).wait()
    raise OSError("the summary could not be written")


@task(retries=1)
def flaky(paths):
    for path in paths:
        plain(path)
    if FAILS:
        raise FAILS.pop()


@pytest.mark.parametrize(
    ("outer", "paths", "failed"),
    [(one_by_one, ["a", "b", "bad"], {"bad"}), (mapped, ["a", "b"], set()), (flaky, ["a", "b"], set())],
)
def test_a_task_around_that_fails_undoes_nothing(only_run, outer, paths, failed):
    """Prefect takes a task run for a transaction, though nobody asked for one."""

    @track
    @flow
    def nightly():
        outer(paths, return_state=True)

    FAILS[:] = [OSError("once")]
    nightly()
    _, rows = only_run()
    assert statuses(rows) == {path: "failed" if path in failed else "success" for path in paths}
    assert "RolledBack" not in {row.error_type for row in rows.values()}


async def test_an_async_task_around_undoes_nothing(only_run):
    @task
    async def outer():
        await aplain("a")
        raise OSError("no")

    @track
    @flow
    async def nightly():
        await outer(return_state=True)

    await nightly()
    _, rows = only_run()
    assert statuses(rows) == {"a": "success"}


@task
def in_a_transaction():
    with transaction():
        plain("a")
        plain("bad")


@task
def undone_by_hooks():
    write("a")
    raise OSError("no")


@task
def has_hooks():
    plain("a")


@has_hooks.on_rollback
def undo_all(txn):  # noqa: ARG001
    UNDONE.append(2)


@task
def around_hooks():
    has_hooks()
    raise OSError("no")


@pytest.mark.parametrize("outer", [in_a_transaction, undone_by_hooks, around_hooks])
def test_what_a_task_around_really_undoes(only_run, outer):
    """It asks for a transaction of its own, or the task's hooks, or those of one between, undo what was done."""

    @track
    @flow
    def nightly():
        outer(return_state=True)

    nightly()
    _, rows = only_run()
    assert rows["a"].error_type == "RolledBack"


def test_a_transaction_around_the_task_around(only_run):
    @track
    @flow
    def nightly():
        with transaction():
            one_by_one(["a", "bad"], return_state=True)

    nightly()
    _, rows = only_run()
    assert rows["a"].error_type == "RolledBack"
