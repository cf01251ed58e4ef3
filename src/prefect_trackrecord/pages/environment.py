"""Jinja2 as this package uses it: autoescape, strict undefined, cleaned texts, errors that name file and line."""

from __future__ import annotations

import functools
import re
import traceback
from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from prefect_trackrecord.errors import TemplateError
from prefect_trackrecord.pages import words


def _finalize(value: Any) -> Any:
    """Clean every text that a template writes; Markup stays what it is."""
    if type(value) is str:
        return words.clean(value)
    return "" if value is None else value


@jinja2.pass_context
def _moment(context: jinja2.runtime.Context, value: datetime) -> str:
    return words.moment(value, _zone(context))


@jinja2.pass_context
def _short_moment(context: jinja2.runtime.Context, value: datetime) -> str:
    return words.short_moment(value, _zone(context))


def _zone(context: jinja2.runtime.Context) -> tzinfo:
    """The time zone that a template writes its moments in: one given, or that of the report."""
    given = context.get("zone")
    found: tzinfo = given if isinstance(given, tzinfo) else context["report"].period.zone
    return found


def _add_filters(env: jinja2.Environment) -> None:
    env.filters.update(
        moment=_moment,
        short_moment=_short_moment,
        figure=words.figure,
        before=words.before,
        change=words.change,
        count=words.count,
        share=words.share,
        number=words.number,
        measure=words.measure,
        moved=words.moved,
        duration=words.duration,
        clip=words.clip,
        middle=words.middle,
        one_line=words.one_line,
        plural=words.plural,
        weekday=words.weekday,
        day=words.day,
        status=words.status,
        wrap=words.wrap,
        md=words.markdown,
        code=words.code,
        address=words.address,
        web=words.web,
        clip_end=words.clip_end,
    )


@functools.lru_cache(maxsize=2)
def environment(*, html: bool) -> jinja2.Environment:
    """The environment of the package's own templates."""
    env = jinja2.Environment(
        loader=jinja2.PackageLoader("prefect_trackrecord.pages", "templates"),
        autoescape=html,  # noqa: S701 - text and Markdown have their own escaping
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    _add_filters(env)
    return env


def render(template: str, context: Mapping[str, Any], *, html: bool) -> str:
    """Render one of the package's own templates.

    Raises:
        TemplateError: it has an error; names file and line.
    """
    try:
        return environment(html=html).get_template(template).render(context)
    except jinja2.TemplateError as exc:
        raise TemplateError(_where(exc, template)) from exc


def source(template: str) -> str:
    """A file of the templates' folder as it is."""
    env = environment(html=False)
    assert env.loader is not None
    return env.loader.get_source(env, template)[0]


@functools.lru_cache(maxsize=1)
def _sandbox() -> jinja2.Environment:
    env = ImmutableSandboxedEnvironment(autoescape=False, undefined=jinja2.StrictUndefined, finalize=_finalize)
    _add_filters(env)
    return env


def check_line(template: str) -> None:
    """Check a one-line template that a person wrote (a subject).

    Raises:
        TemplateError: it can't be parsed.
    """
    try:
        _sandbox().parse(template)
    except jinja2.TemplateError as exc:
        raise TemplateError(f"the template {template!r} has an error: {exc}") from None


def render_line(template: str, context: Mapping[str, Any]) -> str:
    """Render a one-line template that a person wrote, in a sandbox; the result is one line.

    Raises:
        TemplateError: it has an error.
    """
    try:
        return words.one_line(_sandbox().from_string(template).render(context))
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as exc:
        raise TemplateError(f"the template {template!r} has an error: {exc}") from None


def _where(exc: jinja2.TemplateError, template: str) -> str:
    """The error with the template's file and line, from the exception or its traceback."""
    if isinstance(exc, jinja2.TemplateSyntaxError):
        return f"{exc.name or template}, line {exc.lineno}: {exc.message}"
    frames = [f for f in traceback.extract_tb(exc.__traceback__) if re.search(r"\.(j2|css)$", f.filename)]
    place = f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else template
    return f"{place}: {exc.message or type(exc).__name__}"
