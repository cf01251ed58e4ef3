"""What `track` makes of a flow or task where it is defined, and what it refuses."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path

import cloudpickle
import pytest
from prefect import Flow, Task, flow, task
from prefect.flows import load_flow_from_entrypoint

from prefect_trackrecord import hooks, param, track
from prefect_trackrecord.errors import (
    ConfigurationError,
    DecoratorOrderError,
    MissingDriverError,
    ParameterNameError,
    StorageUrlError,
)

pytestmark = pytest.mark.prefect
HOOKS = ("on_running_hooks", "on_completion_hooks", "on_failure_hooks")


def plain(path: str, n: int = 1) -> str:
    """Says it."""
    return path * n


async def coroutine(path: str) -> str:
    return path


def generator(path: str):
    yield path


async def async_generator(path: str):
    yield path


KINDS = [plain, coroutine, generator, async_generator]


@pytest.mark.parametrize("fn", KINDS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("make", [flow, task])
def test_the_copy_is_of_the_same_kind(make, fn):
    bare = make(fn)
    tracked = track(bare)
    assert type(tracked) is type(bare)
    assert tracked is not bare
    assert (tracked.isasync, tracked.isgenerator, tracked.name) == (bare.isasync, bare.isgenerator, bare.name)
    assert inspect.signature(tracked.fn) == inspect.signature(fn)
    assert (tracked.fn.__name__, tracked.fn.__doc__, tracked.fn.__module__) == (
        fn.__name__,
        fn.__doc__,
        fn.__module__,
    )
    again = tracked.with_options(name="again")
    assert (again.isasync, again.isgenerator) == (bare.isasync, bare.isgenerator)


def test_the_three_ways_to_write_it():
    assert isinstance(track(task(plain)), Task)
    assert isinstance(track()(task(plain)), Task)
    assert isinstance(track(file="path")(task(plain)), Task)
    assert isinstance(track(flow(plain)), Flow)


@pytest.mark.parametrize("make", [flow, task])
def test_the_original_and_its_hook_lists_stay_as_they_were(make):
    mine = []

    def hook(obj, run, state):
        mine.append(state)

    listed = [hook]
    bare = make(plain, on_completion=listed)
    tracked = track(bare)
    assert bare.on_completion_hooks == listed == [hook]
    assert tracked.on_completion_hooks[0] is hook
    assert len(tracked.on_completion_hooks) == 2
    for name in HOOKS:
        assert getattr(tracked, name) is not getattr(bare, name)


@pytest.mark.parametrize("make", [flow, task])
def test_tracking_twice_tracks_once_with_the_last_options(make):
    option = {"subcommand": "b"} if make is flow else {"file_type": "b"}
    first = {"subcommand": "a"} if make is flow else {"file_type": "a"}
    tracked = track(**option)(track(**first)(make(plain)))
    assert len(tracked.on_completion_hooks) == 1
    assert tracked.fn.__wrapped__ is plain
    assert getattr(tracked.fn.__trackrecord__, next(iter(option))) == "b"


@pytest.mark.parametrize("fn", KINDS, ids=lambda f: f.__name__)
def test_task_keys_are_those_of_the_bare_task(fn):
    bare = task(fn)
    tracked = track(bare)
    assert tracked.task_key == bare.task_key
    assert tracked.with_options().task_key == bare.task_key
    assert getattr(tracked.with_options(), "source_code", None) == getattr(bare, "source_code", None)  # since 3.7


def test_two_tasks_have_two_keys():
    def other(path: str) -> str:
        return path + "!"

    other.__qualname__ = plain.__qualname__
    assert track(task(other)).with_options().task_key != track(task(plain)).with_options().task_key


def test_cache_keys_are_those_of_the_bare_task(history):
    seen = []

    def key(context, given):
        from prefect.cache_policies import TASK_SOURCE

        seen.append(TASK_SOURCE.compute_key(context, given, {}))

    @flow
    def nightly():
        task(plain, cache_key_fn=key)("a")
        track(task(plain, cache_key_fn=key))("a")

    nightly()
    assert len(set(seen)) == 1


@pytest.mark.parametrize("make", [flow, task])
def test_it_is_pickled_by_value(make):
    tracked = track(make(lambda path="x": path, name="one"))
    there = cloudpickle.loads(pickle.dumps(cloudpickle.dumps(tracked)) and cloudpickle.dumps(tracked))
    assert there.fn("y") == "y"
    assert there.fn.__trackrecord__ == tracked.fn.__trackrecord__
    assert [h.__name__ for h in there.on_completion_hooks] == ["trackrecord"]


def test_a_tracked_flow_is_loaded_by_its_entrypoint(tmp_path):
    source = tmp_path / "my_flows.py"
    source.write_text(
        "from __future__ import annotations\nfrom pathlib import Path\n"
        "from prefect import flow\nfrom prefect_trackrecord import track\n\n"
        "@track\n@flow\ndef nightly(folder: Path, n: int = 1):\n    return n\n"
    )
    loaded = load_flow_from_entrypoint(f"{source}:nightly")
    assert loaded.name == "nightly"
    assert loaded._entrypoint == "my_flows:nightly"
    assert inspect.getsourcefile(loaded.fn) == str(source)
    assert loaded.validate_parameters({"folder": "x", "n": "2"}) == {"folder": Path("x"), "n": 2}


@pytest.mark.parametrize("given", [plain, coroutine, staticmethod(plain), lambda: 1])
def test_below_flow_or_task_it_is_refused(given):
    with pytest.raises(DecoratorOrderError, match="must stand above @flow or @task"):
        track(given)
    with pytest.raises(TypeError, match="must stand above @flow or @task"):
        track(file="path")(given)
    with pytest.raises(DecoratorOrderError):
        track(3)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"file": "pth"}, r"plain\(\) has no parameter 'pth'; did you mean 'path'\? It has: path, n"),
        ({"file": param("pat")}, "no parameter 'pat'"),
        ({"file": lambda p: p}, "no parameter 'p'"),
        ({"output": param("result")}, "no parameter 'result'"),
    ],
)
def test_a_name_that_is_no_parameter(options, hint):
    with pytest.raises(ParameterNameError, match=hint):
        track(**options)(task(plain))


def test_a_name_that_a_flow_has_no_parameter_of():
    with pytest.raises(ParameterNameError, match="did you mean 'path'"):
        track(target_date=param("paths"))(flow(plain))


def test_a_task_of_any_keywords_takes_any_name():
    def anything(**kwargs):
        return kwargs

    assert track(file="whatever")(task(anything))


@pytest.mark.parametrize("make", [flow, task])
@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("s3:/bucket", StorageUrlError),
        ("nosuch://bucket/x", StorageUrlError),
        ("oss://bucket/x", MissingDriverError),
        ("trackrecord-storage/", ConfigurationError),
        (3, ConfigurationError),
    ],
)
def test_a_storage_that_can_not_work(make, url, error):
    with pytest.raises(error):
        track(storage=url)(make(plain))


def test_a_storage_of_the_environment_that_can_not_work(monkeypatch):
    monkeypatch.setenv("TRACKING_PATH", "s3:/bucket")
    with pytest.raises(StorageUrlError):
        track(flow(plain))
    with pytest.raises(StorageUrlError):
        hooks()


@pytest.mark.parametrize(
    ("make", "options", "hint"),
    [
        (flow, {"file": "path"}, "is an option of a task"),
        (task, {"partial": "failed"}, "is an option of a flow"),
        (flow, {"partial": "maybe"}, "'completed' or 'failed'"),
        (flow, {"fail_over": 5}, "a share of the files from 0 to 1"),
    ],
)
def test_options_that_make_no_sense(make, options, hint):
    with pytest.raises(ConfigurationError, match=hint):
        track(**options)(make(plain))


def test_an_option_that_does_not_exist():
    with pytest.raises(TypeError, match="no option 'files'"):
        track(files="path")(task(plain))


def test_a_plain_call_of_the_function_is_not_tracked(history):
    assert track(file="path")(task(plain)).fn("a", 2) == "aa"
    assert history.list_runs() == []


def test_every_option_is_told_with_its_type():
    import dataclasses
    import re

    from prefect_trackrecord._prefect.options import FlowOptions, TaskOptions

    options = {field.name for kind in (FlowOptions, TaskOptions) for field in dataclasses.fields(kind)}
    told = re.findall(r"^ +(\w+) \(.+?\): ", track.__doc__, re.MULTILINE)
    assert sorted({*told} - {"obj"}) == sorted(options)
