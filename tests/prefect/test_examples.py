"""Three flows as Prefect's documentation shows them, written anew: one line more, and each run is in the history."""

from __future__ import annotations

import importlib.util

import pytest

pytestmark = pytest.mark.prefect

STARS = """
from prefect import flow, task

STARS = {"prefect": 21_000, "marvin": 5_900}

@task(log_prints=True, retries=1)
def get_stars(repo: str) -> int:
    print(f"asking for {repo}")
    return STARS[repo]

@flow(name="github-stars")
def github_stars(repos: list[str]) -> dict[str, int]:
    return dict(zip(repos, get_stars.map(repos).result()))

def main():
    return github_stars(["prefect", "marvin"])
"""

PIPELINE = """
import asyncio
from prefect import flow, task

@task
async def extract(n: int) -> list[int]:
    await asyncio.sleep(0)
    return list(range(n))

@task
async def transform(rows: list[int]) -> list[int]:
    return [row * 2 for row in rows]

@flow(name="etl", retries=1)
async def etl(n: int = 3) -> int:
    rows = await transform(await extract(n))
    return sum(rows)

def main():
    return asyncio.run(etl())
"""

NESTED = """
from pydantic import BaseModel
from prefect import flow, task

class Order(BaseModel):
    item: str
    count: int = 1

@task(task_run_name="pack-{order.item}")
def pack(order: Order) -> str:
    return f"{order.count} x {order.item}"

@flow(name="ship")
def ship(orders: list[Order]) -> list[str]:
    return pack.map(orders).result()

@flow(name="shop")
def shop(items: list[str]) -> list[str]:
    return ship([Order(item=item, count=2) for item in items])

def main():
    return shop(["tea", "rice"])
"""


@pytest.mark.parametrize(
    ("source", "result", "names", "tasks"),
    [
        (STARS, {"prefect": 21_000, "marvin": 5_900}, ["github-stars"], 2),
        (PIPELINE, 6, ["etl"], 2),
        (NESTED, ["2 x tea", "2 x rice"], ["ship", "shop"], 2),
    ],
    ids=["stars", "etl", "shop"],
)
def test_one_line_tracks_it(history, tmp_path, source, result, names, tasks):
    path = tmp_path / "example.py"
    path.write_text("from prefect_trackrecord import track\n" + source.replace("@flow", "@track\n@flow"))
    spec = importlib.util.spec_from_file_location(f"example_{tmp_path.name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.main() == result
    runs = history.list_runs()
    assert sorted(run.flow_name for run in runs) == names
    assert {run.status.value for run in runs} == {"success"}
    assert max(sum(run.task_counts.values()) for run in runs) == tasks
    if len(runs) == 2:  # the inner flow knows the outer one
        outer, inner = runs
        assert inner.parent_run_id == outer.run_id
