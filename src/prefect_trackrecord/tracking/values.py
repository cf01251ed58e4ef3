"""What `track(command=...)` was given (a parameter, a constant, a callable), and its value in a call."""

from __future__ import annotations

import difflib
import functools
import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prefect_trackrecord.errors import ParameterNameError
from prefect_trackrecord.journal.masking import may_hold_secret
from prefect_trackrecord.journal.naming import told_apart
from prefect_trackrecord.journal.plain import MASK, clean, is_secret_name, mask_text, plain, text_of
from prefect_trackrecord.journal.secret_names import named_secret

MAX_TEXT = 1_000


@dataclass(frozen=True)
class Param:
    """The value of a parameter of the tracked function; made by `param("name")`."""

    name: str


def param(name: str) -> Param:
    """Say that `track` takes a value from the parameter `name` of the tracked function.

    Example:
        ```python
        @track(target_date=param("day"))
        @flow
        def nightly(day: str): ...
        ```
    """
    return Param(name)


@dataclass(frozen=True)
class Call:
    """A callable whose parameters are the tracked function's, by name."""

    fn: Callable[..., Any]
    names: tuple[str, ...] | None

    def __call__(self, arguments: Mapping[str, Any]) -> Any:
        """Call it with those of `arguments` that it asks for (all of them, where it takes `**kwargs`)."""
        names = arguments if self.names is None else [n for n in self.names if n in arguments]
        return self.fn(**{name: arguments[name] for name in names})


def source(
    given: Any, fn: Callable[..., Any] | None, option: str, *, text_is_parameter: bool | None, by: str = "track"
) -> Any:
    """Check what an option was given, at the flow's, task's or command's definition.

    Args:
        given: as the user wrote it.
        fn: the tracked function; None where it is not known yet: names can't be checked then.
        option: the option's name, for errors.
        text_is_parameter: True: a string must name a parameter. None: it is a parameter where it names one, else a
            constant. False: it is a constant.
        by: whose option it is, for errors.

    Returns:
        A `Param`, a `Call`, or the constant.

    Raises:
        ParameterNameError: it names no parameter of `fn`.
    """
    known, takes_more = _parameters(fn)
    if isinstance(given, str) and text_is_parameter is not False and (given in known or text_is_parameter):
        given = Param(given)
    if isinstance(given, Param):
        if given.name not in known and not takes_more:
            raise ParameterNameError(_unknown(f"{by}({option}", given.name, known, fn))
        return given
    if callable(given) and not isinstance(given, type):
        return Call(given, _asked(given, known, takes_more, f"{by}({option}", fn))
    return given


def parameter_name(given: Any, fn: Callable[..., Any] | None, option: str, *, by: str = "track") -> str:
    """The name that an option gives to a parameter of the tracked function; `fn` None: it can't be checked yet.

    Raises:
        ParameterNameError: it names no parameter of `fn`.
    """
    name = given.name if isinstance(given, Param) else given
    known, takes_more = _parameters(fn)
    if not isinstance(name, str) or (name not in known and not takes_more):
        raise ParameterNameError(_unknown(f"{by}({option}", str(name), known, fn))
    return name


def _parameters(fn: Callable[..., Any] | None) -> tuple[list[str], bool]:
    """The names of a function's parameters, and whether it takes others too."""
    if fn is None:
        return [], True
    parameters = inspect.signature(fn).parameters.values()
    named = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]
    return named, len(named) < len(parameters)


def _asked(
    given: Callable[..., Any], known: list[str], takes_more: bool, option: str, fn: Callable[..., Any] | None
) -> tuple[str, ...] | None:
    """The names that a callable asks for; None for all."""
    try:
        wanted = inspect.signature(given).parameters.values()
    except (TypeError, ValueError):  # some builtins have no signature
        raise ParameterNameError(
            f"{option}={given!r}) has no parameters that can be read; wrap it: lambda {known[0] if known else 'x'}: ..."
        ) from None
    if any(p.kind is p.VAR_KEYWORD for p in wanted):
        return None
    for p in wanted:
        if p.name not in known and not takes_more and p.default is p.empty:
            raise ParameterNameError(_unknown(option, p.name, known, fn))
    return tuple(p.name for p in wanted)


def _unknown(option: str, name: str, known: list[str], fn: Callable[..., Any] | None) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    function = getattr(fn, "__name__", "the function")
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return (
        f"{option}={name!r}): {function}() has no parameter {name!r}{hint} "
        f"It has: {', '.join(known) if known else 'none'}"
    )


@functools.lru_cache(maxsize=512)
def signature_of(fn: Callable[..., Any]) -> inspect.Signature:
    """A function's signature; making it takes longer than using it."""
    return inspect.signature(fn)


@functools.lru_cache(maxsize=512)
def _positional(fn: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a function's parameters, where all of them may be given by position; else none."""
    parameters = signature_of(fn).parameters.values()
    plain_ones = all(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    return tuple(p.name for p in parameters) if plain_ones else ()


def bound(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """A call's arguments by parameter name, defaults included, `**kwargs` spread; {} for a call that can't be bound."""
    names = _positional(fn)
    if (
        len(args) == len(names) and names and not kwargs
    ):  # as Prefect calls nearly every task; binding takes ten times that
        return dict(zip(names, args, strict=True))
    signature = signature_of(fn)
    try:
        binding = signature.bind(*args, **kwargs)
    except TypeError:
        return {}
    binding.apply_defaults()
    return spread(signature, binding.arguments)


def spread(signature: inspect.Signature, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """`arguments` with those of a `**kwargs` parameter as names of their own."""
    found = dict(arguments)
    for p in signature.parameters.values():
        if p.kind is p.VAR_KEYWORD:
            found.update(found.pop(p.name, None) or {})
    return found


def value(given: Any, arguments: Mapping[str, Any]) -> Any:
    """The value of a checked option for one call. Raises what the user's callable raises."""
    if isinstance(given, Param):
        return arguments.get(given.name)
    if isinstance(given, Call):
        return given(arguments)
    return given


def text(found: Any) -> str | None:
    """A value as text for a document: paths by their path, passwords of URLs masked; None stays None."""
    if found is None:
        return None
    if isinstance(found, os.PathLike):
        found = os.fspath(found)
    if isinstance(found, bytes):
        found = os.fsdecode(found)
    if isinstance(found, str):
        return mask_text(clean(found))
    if isinstance(found, bool):
        return str(found)
    flat = plain(found, max_text=MAX_TEXT)
    if isinstance(flat, str | int | float):
        return str(flat)
    return mask_text(text_of(found, MAX_TEXT))


def key_of(arguments: Mapping[str, Any]) -> str:
    """Which call it is, by its simple arguments: equal for equal calls of a flow's attempts.

    A secret among them is masked as in `mask_name`.
    """
    texts = {name: _short(argument) for name, argument in arguments.items()}
    whole = ",".join(f"{name}={text}" for name, text in texts.items())[:MAX_TEXT]
    if not may_hold_secret(whole):  # most calls: this is done for each
        return whole
    named = named_secret(arguments)
    shown = []
    for name, argument in arguments.items():
        hidden = _is_simple(argument) and argument not in (None, "", False) and (name == named or is_secret_name(name))
        shown.append(f"{name}={MASK if hidden else mask_text(texts[name])}")
    return told_apart(",".join(shown)[:MAX_TEXT], whole)


def _is_simple(argument: Any) -> bool:
    return isinstance(argument, str | int | float | bool | os.PathLike) or argument is None


def _short(argument: Any) -> str:
    return str(argument)[:200] if _is_simple(argument) else type(argument).__name__
