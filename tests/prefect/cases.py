"""The cases of the matrix as tasks, made anew for each column; local functions, so that they are pickled by value."""

from __future__ import annotations


def make_tasks(folder: str, *, is_async: bool):
    """Tracked tasks by case. `folder` is where the retried one counts its attempts."""
    import asyncio
    import pathlib
    import time

    from prefect import task
    from prefect.states import Completed, Failed

    from prefect_trackrecord import current_tracker, track

    def ok(path, kind="x"):
        return f"{path}.out"

    def fails(path):
        raise ValueError(f"can't read {path}")

    def flaky(path):
        counter = pathlib.Path(folder) / "flaky"
        counter.write_text(counter.read_text() + "." if counter.exists() else ".")
        if len(counter.read_text()) < 3:
            raise OSError(f"try {len(counter.read_text())}")
        return "third time"

    def skipped(path):
        return Completed(name="Skipped", message="empty file")

    def failed_state(path):
        return Failed(message="found nothing in it")

    def failed_state_with_exception(path):
        return Failed(message="wrapped", data=KeyError("no key"))

    def slow(path):
        for _ in range(200):
            time.sleep(0.05)

    async def aslow(path):
        await asyncio.sleep(10)

    def numbers(path):
        yield 1
        yield 2

    async def anumbers(path):
        yield 1
        yield 2

    def bad_numbers(path):
        yield 1
        raise RuntimeError("half way")

    async def abad_numbers(path):
        yield 1
        raise RuntimeError("half way")

    def exits(path):
        raise SystemExit(3)

    def inside(path):
        current_tracker().track_file(f"{path}/part", "success", file_type="part")
        current_tracker().metric("rows", 12)
        return "x"

    def secret(path, agent, password="hunter2"):
        raise RuntimeError("no access to https://joe:hunter2@host/x")

    def either(sync, own=None):
        """The function as this column calls it."""
        if not is_async:
            return sync
        if own is not None:
            own.__name__ = sync.__name__
            return own

        async def other(path):
            return sync(path)

        other.__name__ = sync.__name__
        return other

    def key(_, given):
        return f"{pathlib.Path(folder).name}-{given['path']}"

    file = track(file="path")
    return {
        "ok": track(file="path", file_type="audio", agent_id=lambda path: path[:2], output="return")(task(either(ok))),
        "fails": file(task(either(fails))),
        "flaky": file(task(either(flaky), retries=3)),
        "exhausted": file(task(either(fails), retries=1, name="exhausted")),
        "cached": file(task(either(ok), cache_key_fn=key, name="cached")),
        "skipped": file(task(either(skipped))),
        "failed_state": file(task(either(failed_state))),
        "failed_state_with_exception": file(task(either(failed_state_with_exception))),
        "slow": file(task(either(slow, aslow), timeout_seconds=0.3)),
        "numbers": file(task(either(numbers, anumbers))),
        "bad_numbers": file(task(either(bad_numbers, abad_numbers))),
        "exits": file(task(either(exits))),
        "inside": file(task(either(inside))),
        "unnamed": track(task(either(ok), name="unnamed")),
    }


def make_sync_flow(folder: str, runner, *, exits: bool = True):
    """A flow that submits every case to `runner`; `exits`: the one that raises SystemExit too."""
    import contextlib

    from prefect import flow
    from prefect.exceptions import UpstreamTaskError

    from prefect_trackrecord import track

    tasks = make_tasks(folder, is_async=False)

    @track
    @flow(task_runner=runner, name="cases")
    def cases():
        bad = tasks["fails"].submit("fails")
        futures = [
            bad,
            tasks["ok"].submit("ok-submit"),
            *tasks["ok"].map(["ok-map-1", "ok-map-2"]),
            tasks["flaky"].submit("flaky"),
            tasks["exhausted"].submit("exhausted"),
            tasks["skipped"].submit("skipped"),
            tasks["failed_state"].submit("failed-state"),
            tasks["failed_state_with_exception"].submit("failed-state-exception"),
            tasks["slow"].submit("slow"),
            tasks["inside"].submit("inside"),
            tasks["unnamed"].submit("unnamed"),
        ]
        for future in futures:
            future.wait()
        with contextlib.suppress(UpstreamTaskError):  # the process pool resolves inputs before it makes a task run
            tasks["ok"].submit(bad).wait()
        tasks["cached"].submit("cached").wait()
        tasks["cached"].submit("cached").wait()
        tasks["ok"]("ok-direct")
        assert list(tasks["numbers"]("numbers")) == [1, 2]
        for _ in tasks["numbers"]("numbers-break"):
            break
        with contextlib.suppress(RuntimeError):
            list(tasks["bad_numbers"]("bad-numbers"))
        if exits:
            with contextlib.suppress(SystemExit):
                tasks["exits"].submit("exits").wait()
        return 7

    return cases


def make_async_flow(folder: str):
    """The same cases as async tasks of an async flow, awaited."""
    import asyncio
    import contextlib

    from prefect import flow

    from prefect_trackrecord import track

    tasks = make_tasks(folder, is_async=True)

    @track
    @flow(name="cases")
    async def cases():
        bad = await tasks["fails"]("fails", return_state=True)
        await asyncio.gather(
            tasks["ok"]("ok-submit"),
            tasks["flaky"]("flaky"),
            tasks["exhausted"]("exhausted", return_state=True),
            tasks["skipped"]("skipped", return_state=True),
            tasks["failed_state"]("failed-state", return_state=True),
            tasks["failed_state_with_exception"]("failed-state-exception", return_state=True),
            tasks["slow"]("slow", return_state=True),
            tasks["inside"]("inside"),
            tasks["unnamed"]("unnamed"),
        )
        with contextlib.suppress(SystemExit):
            tasks["exits"].submit("exits").wait()
        tasks["ok"].map(["ok-map-1", "ok-map-2"]).wait()
        tasks["ok"].submit(bad).wait()
        await tasks["cached"]("cached")
        await tasks["cached"]("cached")
        await tasks["ok"]("ok-direct")
        assert [n async for n in tasks["numbers"]("numbers")] == [1, 2]
        stream = tasks["numbers"]("numbers-break")
        async for _ in stream:
            break
        await stream.aclose()
        with contextlib.suppress(RuntimeError):
            async for _ in tasks["bad_numbers"]("bad-numbers"):
                pass
        return 7

    return cases
