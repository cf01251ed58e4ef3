"""Templates that users write for their reports: in a sandbox, strict, with errors that name file and line."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from prefect_trackrecord.errors import TemplateError
from prefect_trackrecord.pages.delivery_report import LIMITS, Format, Limits, context_of
from prefect_trackrecord.pages.environment import _add_filters, _finalize


class _FolderLoader(jinja2.FileSystemLoader):
    """The files of one folder; a link to one outside of it is as if it were not there."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._root = folder.resolve()

    def get_source(self, environment: jinja2.Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        """Jinja's own, once the place is known to be inside.

        Raises:
            TemplateNotFound: it is not, or there is none.
        """
        pieces = jinja2.loaders.split_template_path(template)
        if not self._root.joinpath(*pieces).resolve().is_relative_to(self._root):
            raise jinja2.TemplateNotFound(template)
        return super().get_source(environment, template)


def render_own(report: Any, path: Path, format: Format, *, page_url: str | None = None) -> str:  # noqa: A002
    """Render a report by a template file of the user's own.

    It knows what the built-in templates know, and all their filters; it may include and extend others of its folder,
    and the built-in ones as `trackrecord/report/...`. What it writes into `html` and `email` is escaped.

    Raises:
        TemplateError: it can't be read, or has an error; names file and line.
    """
    html = format in {"html", "email"}
    path = path.absolute()  # the loader's names must begin like the folder's, or no line is found
    env = ImmutableSandboxedEnvironment(
        loader=jinja2.ChoiceLoader(
            [
                jinja2.PrefixLoader({"trackrecord": jinja2.PackageLoader("prefect_trackrecord.pages", "templates")}),
                _FolderLoader(path.parent),
            ]
        ),
        autoescape=html,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    _add_filters(env)
    context = context_of(report, LIMITS.get(format, Limits()), page_url, whole=format == "html")
    try:
        return env.get_template(path.name).render(context)
    except jinja2.TemplateNotFound as exc:
        what = f"there is no template {exc.name}" if exc.name != path.name else "it can't be read"
        raise TemplateError(f"{path}: {what}") from None
    except jinja2.TemplateSyntaxError as exc:
        raise TemplateError(f"{exc.filename or path}, line {exc.lineno}: {exc.message}") from None
    except Exception as exc:  # a template may fail in as many ways as a program
        raise TemplateError(f"{_place(exc, path)}: {str(exc) or type(exc).__name__}") from exc


def _place(exc: Exception, path: Path) -> str:
    """File and line of the innermost template in the traceback; Jinja puts those of templates there."""
    folder = str(path.parent)
    frames = [f for f in traceback.extract_tb(exc.__traceback__) if f.filename.startswith(folder)]
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else str(path)
