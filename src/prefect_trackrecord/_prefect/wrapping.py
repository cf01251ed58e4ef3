"""Wraps the function of a task or flow so that Prefect can't tell it from the function itself.

A task's key and cache keys come from its function's code, also in `with_options()` and in task workers. So a task's
wrapper is an object that looks like the function (`inspect` takes such duck types for functions, as Cython makes them),
its `__code__` included. A flow's wrapper must be a real function (Prefect asks for its file), and carries the file and
line of the flow.

What a wrapper refers to is pickled when a task is sent to another process: so nothing here holds a lock or a module's
dict.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import types
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol, cast

from prefect_trackrecord._prefect import engines

COPIED = ("__name__", "__qualname__", "__doc__", "__module__", "__annotations__")
OPTIONS = "__trackrecord__"


class Try(Protocol):
    """One call of a wrapped function."""

    def returned(self, result: Any) -> Any:
        """It returned; gives what to return instead (the same, mostly)."""

    def broken_off(self) -> None:
        """It is a generator of which nobody wants more: an early end, no failure."""

    def raised(self, exc: BaseException) -> None:
        """It raised."""


class Begin(Protocol):
    """Told of a call before it is made; None: it is none of ours."""

    def __call__(
        self, wrapped: Any, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Try | None:
        """A call begins."""


class TaskFunction:
    """Looks and calls like `fn`, and tells `begin` of each call."""

    def __init__(self, fn: Callable[..., Any], begin: Begin, options: Any) -> None:
        self.__wrapped__ = fn
        self.__dict__.update(getattr(fn, "__dict__", {}))
        self.__wrapped__ = fn
        for name in COPIED:
            setattr(self, name, getattr(fn, name, None))
        self.__code__ = _code(fn)
        self.__defaults__ = getattr(fn, "__defaults__", None)
        self.__kwdefaults__ = getattr(fn, "__kwdefaults__", None)
        self.__globals__: dict[str, Any] = {}  # looked up by some tools; the real one must not be pickled
        self.__trackrecord__ = options
        self._begin = begin
        self._run = _runner(fn)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._run(self, self.__wrapped__, self._begin, args, kwargs)


def _code(fn: Callable[..., Any]) -> types.CodeType | None:
    found = getattr(fn, "__code__", None) or getattr(type(fn).__call__, "__code__", None)
    return found if isinstance(found, types.CodeType) else None


def wrap_flow_function(fn: Callable[..., Any], begin: Begin, options: Any) -> Callable[..., Any]:
    """A function that looks and calls like `fn`, a flow's, and tells `begin` of each call."""
    run = _runner(fn)
    wrapped: Any
    if inspect.isasyncgenfunction(fn):
        aclosing = contextlib.aclosing  # the wrapper gets the globals of `fn`, so it may use none of this module's

        async def wrapped(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            async with aclosing(run(wrapped, fn, begin, args, kwargs)) as items:
                async for item in items:
                    yield item

    elif inspect.iscoroutinefunction(fn):

        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            return await run(wrapped, fn, begin, args, kwargs)

    elif inspect.isgeneratorfunction(fn):

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            return (yield from run(wrapped, fn, begin, args, kwargs))

    else:

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            return run(wrapped, fn, begin, args, kwargs)

    code = _code(fn)
    if code is not None:
        wrapped.__code__ = wrapped.__code__.replace(
            co_filename=code.co_filename, co_firstlineno=code.co_firstlineno, co_name=code.co_name
        )
    if (names := getattr(inspect.unwrap(fn), "__globals__", None)) is not None:
        # Prefect resolves annotations that are strings (`from __future__ import annotations`) by a function's globals
        wrapped = types.FunctionType(wrapped.__code__, names, wrapped.__name__, None, wrapped.__closure__)
    functools.update_wrapper(wrapped, fn)
    setattr(wrapped, OPTIONS, options)
    return cast("Callable[..., Any]", wrapped)


def options_of(fn: Any) -> Any:
    """The options that a wrapped function carries; None for one that is not wrapped."""
    return getattr(fn, "__dict__", {}).get(OPTIONS)


def _runner(fn: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.isasyncgenfunction(fn):
        return _run_async_generator
    if inspect.iscoroutinefunction(fn):
        return _run_async
    if inspect.isgeneratorfunction(fn):
        return _run_generator
    return _run


def _run(wrapped: Any, fn: Callable[..., Any], begin: Begin, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    one = begin(wrapped, fn, args, kwargs)
    if one is None:
        return fn(*args, **kwargs)
    try:
        result = fn(*args, **kwargs)
    except BaseException as exc:
        one.raised(exc)
        raise
    return one.returned(result)


async def _run_async(
    wrapped: Any, fn: Callable[..., Any], begin: Begin, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    one = begin(wrapped, fn, args, kwargs)
    if one is None:
        return await fn(*args, **kwargs)
    try:
        result = await fn(*args, **kwargs)
    except BaseException as exc:
        one.raised(exc)
        raise
    return one.returned(result)


def _run_generator(
    wrapped: Any, fn: Callable[..., Any], begin: Begin, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    one = begin(wrapped, fn, args, kwargs)
    if one is None:
        return (yield from fn(*args, **kwargs))
    try:
        result = yield from fn(*args, **kwargs)
    except GeneratorExit:
        one.broken_off()
        raise
    except BaseException as exc:
        one.raised(exc)
        raise
    return one.returned(result)


async def _run_async_generator(
    wrapped: Any, fn: Callable[..., Any], begin: Begin, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> AsyncIterator[Any]:
    one = begin(wrapped, fn, args, kwargs)
    try:
        async with contextlib.aclosing(fn(*args, **kwargs)) as items:
            async for item in items:
                yield item
    except GeneratorExit:
        if one is not None:
            one.broken_off()
        raise
    except BaseException as exc:
        if one is not None:
            one.raised(exc)
        raise
    if one is not None:
        engines.end_with(one.returned(None))
