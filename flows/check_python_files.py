"""Compiles every `.py` file under a folder: each file a tracked task; broken ones fail, empty ones are skipped.

By default that is the standard library of the Python that runs it: `python flows/check_python_files.py`
"""

from __future__ import annotations

import hashlib
import os
import platform
import sysconfig
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.client.schemas.objects import State
from prefect.context import TaskRunContext
from prefect.futures import PrefectFuture, as_completed
from prefect.states import Completed
from prefect.task_runners import ThreadPoolTaskRunner

from prefect_trackrecord import track
from prefect_trackrecord.callbacks import CallbackManager, StdOutCallbackHandler

STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))


def python_files(folder: Path) -> Iterator[str]:
    """The `.py` files under a folder, relative to it. Links are not followed, `site-packages` is left out."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "site-packages")
        for name in sorted(names):
            path = Path(place, name)
            if name.endswith(".py") and path.is_file() and not path.is_symlink():
                yield str(path.relative_to(folder))


def path_of(folder: Path, name: str) -> Path:
    """The file of that name in the folder."""
    return folder / name


def unchanged(_context: TaskRunContext, arguments: Mapping[str, Any]) -> str | None:
    """The cache key: a file's name and content, and the Python that compiles it. Empty files have none: no result."""
    source = path_of(arguments["folder"], arguments["name"]).read_bytes()
    if not source:
        return None
    heading = f"{platform.python_version()}|{arguments['name']}|"
    return f"check-{hashlib.sha256(os.fsencode(heading) + source).hexdigest()}"


@track(file=path_of, file_type="python")
@task(
    task_run_name="{name}",
    cache_key_fn=unchanged,
    persist_result=True,
    cache_result_in_memory=False,  # Prefect's memory cache of 1,000 results is not safe with threads: rare KeyErrors
)
def check(folder: Path, name: str) -> State[None] | None:
    """Compile one file; fails with whatever `compile` raises."""
    path = path_of(folder, name)
    source = path.read_bytes()
    if not source:
        return Completed(name="Skipped", message="the file is empty")
    compile(source, path, "exec", dont_inherit=True)
    return None


@track(partial="completed")
@flow(task_runner=ThreadPoolTaskRunner(max_workers=4))
def check_python_files(folder: Path = STANDARD_LIBRARY) -> None:
    """Compile every `.py` file under a folder; a partial success where some are broken.

    Args:
        folder: where to look.
    """
    folder = Path(os.path.abspath(folder))
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is no folder")
    names = list(python_files(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # what compiles with a warning compiles
        show_progress(check.map(folder, names), names)


def show_progress(futures: Sequence[PrefectFuture[Any]], names: Sequence[str]) -> None:
    """Tell standard output of each file when it is done."""
    name_of = {future.task_run_id: name for future, name in zip(futures, names, strict=True)}
    with CallbackManager([StdOutCallbackHandler(every=250)]).on_batch_start(len(names)) as batch:
        for index, future in enumerate(as_completed(list(futures))):
            name = name_of[future.task_run_id]
            future.wait()
            if future.state.is_failed():
                batch.on_file_error(name, index, error=future.result(raise_on_failure=False))
            else:
                skipped = future.state.name in ("Skipped", "Cached")
                batch.on_file_end(name, index, status="skipped" if skipped else "success")


if __name__ == "__main__":
    check_python_files()
