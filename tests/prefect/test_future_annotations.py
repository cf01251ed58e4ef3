"""Flows whose annotations are strings: Prefect resolves them by the function's globals, which `track` must keep."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from prefect import flow

from prefect_trackrecord import track


@track
@flow
def plain(path: Path): ...


@track
@flow
async def coroutine(path: Path): ...


@track
@flow
def generator(path: Path) -> Iterator[Path]:
    yield path


@track
@flow
async def async_generator(path: Path) -> AsyncIterator[Path]:
    yield path


@pytest.mark.parametrize("tracked", [plain, coroutine, generator, async_generator], ids=lambda f: f.name)
def test_parameters_are_validated(tracked):
    assert tracked.validate_parameters({"path": "a.wav"}) == {"path": Path("a.wav")}
