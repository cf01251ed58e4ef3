"""The public API as users type it; checked by `mypy --strict`, never run."""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.client.schemas.objects import State
from typing_extensions import assert_type

from prefect_trackrecord import RunTracker, TrackingStorage, current_tracker, hooks, param, track


@track(file="path", file_type="audio", output="return")
@task(retries=2)
def transcribe(path: str) -> str:
    return path


@track
@task
async def fetch(url: str) -> bytes:
    return url.encode()


@track(storage="s3://bucket/history", command="nightly", target_date=param("day"), partial="completed", fail_over=0.05)
@flow
def nightly(day: str) -> State[Any]:
    words: str = transcribe("a.wav")
    transcribe.map([words]).wait()
    current_tracker().metric("rows", 12)
    assert_type(current_tracker().final_state(), State[Any])
    return current_tracker().final_state(data=words)


@flow(**hooks(storage="history"))
def plain(n: int) -> int:
    return n


def script() -> None:
    result: int = plain(1)
    with RunTracker("extract", storage=TrackingStorage(base_path="history")) as tracker:
        tracker.track_file(str(result), "success")
