"""Which items a retry hands over: the history has files' names, the flow's parameter takes what it was given."""

from __future__ import annotations

import functools
import operator
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from pathlib import PurePath
from typing import Any

from prefect_trackrecord._prefect.items import listed
from prefect_trackrecord.documents.models import RunMetadata
from prefect_trackrecord.errors import UsageError
from prefect_trackrecord.journal.masking import MASK
from prefect_trackrecord.journal.plain import mask_text
from prefect_trackrecord.pages.words import plural
from prefect_trackrecord.tracking.values import text

Naming = Callable[[Any], str | None]
_NAME: Callable[[PurePath], str] = operator.attrgetter("name")
_STEM: Callable[[PurePath], str] = operator.attrgetter("stem")


def value_of(
    paths: Sequence[str],
    parameters: dict[str, Any],
    parameter: str,
    deployment: dict[str, Any],
    *,
    files: Set[str],
    way_out: str,
    run_id: str,
) -> tuple[Any, tuple[str, ...]]:
    """What the parameter is to be given, and its items' names with secrets masked, in the order of the first run.

    Args:
        paths: the files, as the history names them.
        parameters: the first run's; one that it was not given took its default.
        parameter: which of them takes the items.
        deployment: the deployment that is to be started.
        files: all files of the first run, as the history names them: they tell how it calls its items.
        way_out: how to start it without us, for messages.
        run_id: the first run, for messages.

    Raises:
        UsageError: an item can't be told for sure, or the deployment's flow does not take it so.
    """
    known = properties(deployment)
    if known and parameter not in known:
        raise UsageError(f"the flow of deployment {deployment.get('name')} has no parameter {parameter!r}")
    schema = known.get(parameter) or {}
    given = listed(parameters[parameter] if parameter in parameters else schema.get("default"))
    first = list({repr(item): item for item in given}.values())
    if first:
        items = _matching(paths, files | set(paths), first)
        if items is None:
            raise UsageError(_not_told(paths, first, parameter, run_id, way_out))
        places = {repr(item): place for place, item in enumerate(first)}
        items.sort(key=lambda item: places[repr(item)])
    else:  # the flow found its files by itself: their names are all that there is
        if any(MASK in path for path in paths):
            raise UsageError(_not_told(paths, first, parameter, run_id, way_out))
        items = list(paths)
    shown = tuple(text(item) or "" for item in items)
    return _value(items, bool(first), parameter, schema, deployment, way_out), shown


def properties(deployment: dict[str, Any]) -> dict[str, Any]:
    """The schemas of the parameters of a deployment's flow, by name; {} where they are not known."""
    found: dict[str, Any] = (deployment.get("parameter_openapi_schema") or {}).get("properties") or {}
    return found


def refuse_invalid(given: dict[str, Any], deployment: dict[str, Any], way_out: str) -> None:
    """Refuse what Prefect's API would, before it is asked: a dry run says so too.

    Raises:
        UsageError: the deployment enforces its schema, and the parameters are not as that says.
    """
    if not deployment.get("enforce_parameter_schema"):
        return
    whole = {**(deployment.get("parameters") or {}), **given}
    if "__prefect_kind" in str(whole):
        return  # templates, which only the API can fill in
    for error in _errors(whole, deployment, ignore_required=False):
        raise UsageError(f"Prefect would refuse to start it: {mask_text(error)[:500]}. {way_out}")


def _matching(paths: Sequence[str], files: Set[str], items: list[Any]) -> list[Any] | None:
    """The item of each path; None where it can't be told.

    A file may be called otherwise than its item (`track(file=)` with a callable): by a path's last part, or by a field
    of a model. A naming may be the run's if it gives all the paths their names; where one gives those of all the run's
    files, no other may. What may be the run's must tell the files apart, and all of it give the same items.
    """
    fitting = [names for naming in (text, *_namings(items)) if (names := _by(naming, items)).keys() >= set(paths)]
    found: list[list[Any]] = []
    for names in [one for one in fitting if one.keys() >= files] or fitting:
        if any(len(names[path]) > 1 for path in paths):
            return None
        found.append([names[path][0] for path in paths])
    return found[0] if found and all(one == found[0] for one in found) else None


def _by(naming: Naming, items: list[Any]) -> dict[str | None, list[Any]]:
    """The items that have each name."""
    named: dict[str | None, list[Any]] = {}
    for item in items:
        named.setdefault(naming(item), []).append(item)
    return named


def _namings(items: list[Any]) -> Iterator[Naming]:
    """Other ways in which a task may name its file than by the whole item."""
    fields = dict.fromkeys(key for item in items if isinstance(item, dict) for key in item)
    picks: list[Callable[[Any], Any]] = [lambda item: item, *(functools.partial(_field, key) for key in fields)]
    for pick in picks:
        yield functools.partial(_named, pick, None)
        for part in (str, _NAME, _STEM):
            yield functools.partial(_named, pick, part)


def _field(key: str, item: Any) -> Any:
    return item.get(key) if isinstance(item, dict) else None


def _named(pick: Callable[[Any], Any], part: Callable[[PurePath], str] | None, item: Any) -> str | None:
    picked = pick(item)
    if part is None:
        return text(picked)
    return text(part(PurePath(picked))) if isinstance(picked, str) else None


def _value(
    items: list[Any], given: bool, parameter: str, schema: dict[str, Any], deployment: dict[str, Any], way_out: str
) -> Any:
    """The items in the form that the parameter takes: a list; the one item for a parameter that takes one."""
    kinds = {schema.get("type")} | {one.get("type") for one in schema.get("anyOf") or ()}
    if kinds - {"null", None} == {"string"}:
        if len(items) != 1:
            raise UsageError(f"the parameter {parameter!r} takes one item, and {len(items)} files failed")
        return items[0]
    forms: list[Any] = [items]
    if not given and (numbers := _numbers(items)) is not None:
        forms.append(numbers)
    forms += [form[0] for form in forms if len(form) == 1]
    fitting = [form for form in forms if not _errors({parameter: form}, deployment, ignore_required=True)]
    if fitting:
        return fitting[0]
    if given:
        return items  # as the first run had them: its flow took them
    error = _errors({parameter: items}, deployment, ignore_required=True)[0]
    raise UsageError(
        f"the history has files' names, which the parameter {parameter!r} does not take ({error[:200]}), and Prefect "
        f"does not have what the first run took for it. {way_out}"
    )


def _numbers(names: list[str]) -> list[int] | None:
    """Whole numbers that were named as files, as numbers."""
    try:
        found = [int(name) for name in names]
    except ValueError:
        return None
    return found if [str(one) for one in found] == names else None


def _errors(given: dict[str, Any], deployment: dict[str, Any], *, ignore_required: bool) -> list[str]:
    """In what parameters differ from the deployment's schema, as Prefect's API finds it."""
    schema = deployment.get("parameter_openapi_schema")
    if not properties(deployment) or not isinstance(schema, dict):
        return []
    from prefect.utilities.schema_tools.validation import CircularSchemaRefError, ValidationError, validate

    try:
        found = validate(given, schema, ignore_required=ignore_required)
    except (CircularSchemaRefError, ValidationError):
        return []  # a schema that can't be used here; the API has its say
    return [f"{one.json_path.replace('$.', '')}: {one.message}" for one in found]


def _not_told(paths: Sequence[str], first: list[Any], parameter: str, run_id: str, way_out: str) -> str:
    told: set[str | None] = set()
    for naming in (text, *_namings(first)):
        told |= {name for name, times in Counter(map(naming, first)).items() if times == 1}
    unknown = [path for path in paths if path not in told] or list(paths)
    masked = [path for path in unknown if MASK in path]
    some = masked or unknown
    listed_some = ", ".join(some[:5]) + (", ..." if len(some) > 5 else "")
    if masked:
        return (
            f"the history masks secrets, and Prefect's parameters of run {run_id} don't tell how "
            f"{plural(len(some), 'file')} of it were given: {listed_some}. {way_out}"
        )
    return (
        f"{plural(len(some), 'file')} of run {run_id} can't be told among the items that its flow was given by the "
        f"parameter {parameter!r}: {listed_some}. {way_out}"
    )


def by_hand(run: RunMetadata, deployment: dict[str, Any], parameter: str, tag: str) -> str:
    """How to start the deployment with items that one names oneself, so that the history links both runs."""
    name = shlex.quote(f"{run.flow_name or 'FLOW'}/{deployment.get('name')}")
    command = f"prefect deployment run {name} --tag {tag} --param {parameter}='[\"...\"]'"
    return f"Start it yourself with what is meant: {command}"
