"""The records page: one file that shows every record's story, offline, under a strict content policy.

Up to 100 records are plain HTML that reads without script. Above that the page holds an index and compressed
chunks, which its script opens on demand.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import itertools
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from ._records_errors import CATEGORIES
from ._records_images import Pictures
from ._records_summary import MAX_CARDS, MAX_GROUPS, Summary
from ._records_text import clean, clock, duration, iso, moment_ms
from ._records_view import view_of

if TYPE_CHECKING:
    import jinja2

PLAIN = 100
"""Up to so many records the page is plain HTML."""
CHUNK = 250
"""Records of one compressed chunk."""
_HELD = 16 << 20
"""Bytes of a page's chunks, and of its pictures, that are held in memory; more of them in a file."""
_END = b"</body>\n</html>\n"
LABELS = {
    "failed": "Failed",
    "warning": "Needs attention",
    "active": "In progress",
    "pending": "Pending",
    "other": "Other",
    "skipped": "Skipped",
    "success": "Done",
}
_SCRIPTS = ("base", "theme", "detail", "list", "search", "export", "input")
"""Parts of the script, in this order, before `records.js` itself."""


def prepare() -> None:
    """Import and compile now what pages are made with, once; else the first page does so part by part."""
    _code()
    _asset("records.css")
    _environment()


def render_records_page(
    entries: Iterable[Mapping[str, Any]],
    *,
    title: str,
    subtitle: str | None = None,
    run_url: str | None = None,
    images: Callable[[str], bytes | None] | None = None,
    generated_at: datetime,
) -> Iterator[bytes]:
    """The page of `entries`, part by part, in bounded memory.

    Args:
        entries: entries of `records_logs.json`, in order of creation. Any field may be missing or odd.
        title: the page's heading.
        subtitle: a line below it, such as the flow's name and run.
        run_url: a link to the run; left out unless it is http or https.
        images: the bytes of `images/<name>`, None where there is no such file.
        generated_at: when the page was made; naive means UTC.

    Yields:
        UTF-8 parts of the page, to be written one after the other.
    """
    source = iter(entries)
    first = list(itertools.islice(source, PLAIN + 1))
    head = {
        "title": clean(title) or "Records",
        "subtitle": clean(subtitle or ""),
        "run_url": _web_link(run_url),
        "made": moment_ms(generated_at),
    }
    if len(first) <= PLAIN:
        return _plain(first, head, images)
    return _chunked(itertools.chain(first, source), head, images)


def _plain(
    entries: list[Mapping[str, Any]], head: dict[str, Any], images: Callable[[str], bytes | None] | None
) -> Iterator[bytes]:
    """Every record written out, those that failed first."""
    # Without pictures first: their bytes must not wait in memory until their record's turn.
    views = [view_of(entry, lambda *_: None) for entry in entries]
    summary = Summary()
    for view in views:
        summary.add(view)
    order = sorted(range(len(views)), key=lambda row: CATEGORIES.index(views[row]["cat"]))
    index = summary.index(mode="plain", chunk=CHUNK, title=head["title"])
    colors = sorted({color for view in views for color in _colors(view)})
    classes = {color: f"k{n}" for n, color in enumerate(colors)}
    yield _head(head, "plain", "".join(f".{name}{{--c:{color}}}" for color, name in classes.items()))
    yield _summary(summary, "plain", [(row, views[row]) for row in order], classes)
    template = _environment().get_template("record.html")
    pictures = Pictures(images)
    more: list[Any] = [None] * len(views)
    for row in order:
        view = view_of(entries[row], pictures.show)
        more[row] = [view.get("rec"), [event.get("tech") for event in view["ev"]]]
        yield _bytes(template.render(view=view, row=row, k=classes))
    yield _foot(summary, pictures)
    yield _data("index", _packed({**index, "more": more})) + _END


def _chunked(
    entries: Iterable[Mapping[str, Any]], head: dict[str, Any], images: Callable[[str], bytes | None] | None
) -> Iterator[bytes]:
    """What is said about all records first, then their compressed chunks, then pictures.

    The browser begins to work when it has the first part, which is known last: the others wait in files meanwhile.
    """
    summary = Summary()
    pictures = Pictures(images, keep=True)
    with (
        tempfile.SpooledTemporaryFile(max_size=_HELD) as chunks,
        tempfile.SpooledTemporaryFile(max_size=_HELD) as shots,
    ):
        views: list[dict[str, Any]] = []
        for entry in entries:
            view = view_of(entry, pictures.show)
            summary.add(view)
            view.pop("why", None)
            views.append(view)
            for number, mime, text in pictures.pending:
                shots.write(_data(f"p{number}", text, mime))
            pictures.pending.clear()
            if len(views) == CHUNK:
                chunks.write(_data(f"c{(summary.count - 1) // CHUNK}", _packed(views)))
                views = []
        if views:
            chunks.write(_data(f"c{(summary.count - 1) // CHUNK}", _packed(views)))
        yield _head(head, "chunks", "")
        yield _summary(summary, "chunks", [], {})
        yield _foot(summary, pictures)
        yield _data("index", _packed(summary.index(mode="chunks", chunk=CHUNK, title=head["title"])))
        yield b'<i id="begin" hidden></i>\n'
        for held in (chunks, shots):
            held.seek(0)
            yield from iter(functools.partial(held.read, 1 << 20), b"")
    yield _END


def _head(head: dict[str, Any], mode: str, sheet: str) -> bytes:
    style, code = _asset("records.css"), _code()
    hashes = " ".join(_source(part) for part in (style, sheet) if part)
    policy = (
        f"default-src 'none'; script-src {_source(code.loader)} {_source(code.script)}; style-src {hashes}; "
        "img-src data:; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types trackrecord"
    )
    template = _environment().get_template("head.html")
    return _bytes(template.render(head=head, mode=mode, policy=policy, style=style, sheet=sheet, code=code))


def _summary(summary: Summary, mode: str, rows: list[tuple[int, dict[str, Any]]], classes: dict[str, str]) -> bytes:
    return _bytes(
        _environment()
        .get_template("summary.html")
        .render(
            summary=summary,
            mode=mode,
            rows=rows,
            k=classes,
            max_cards=MAX_CARDS,
            max_groups=MAX_GROUPS,
            categories=[(c, LABELS[c], summary.categories[c]) for c in CATEGORIES if summary.categories[c]],
        )
    )


def _foot(summary: Summary, pictures: Pictures) -> bytes:
    return _bytes(_environment().get_template("foot.html").render(summary=summary, pictures=pictures) + "\n")


def _colors(view: dict[str, Any]) -> set[str]:
    badges = [view["st"], *view.get("tis", ())]
    for event in view["ev"]:
        if event["k"] == "s":
            badges += [event["o"], event["n"]]
    return {badge[1] for badge in badges if badge[1]}


def _packed(value: Any) -> str:
    # Level 6: beyond it, time doubles for 2 % of size.
    return base64.b64encode(gzip.compress(orjson.dumps(value), 6, mtime=0)).decode("ascii")


def _data(name: str, text: str, mime: str = "") -> bytes:
    """A data block; base64 can't end the element it stands in."""
    kind = f' data-mime="{mime}"' if mime else ""
    return f'<script type="application/octet-stream" id="{name}"{kind}>{text}</script>\n'.encode("ascii")


def _web_link(url: str | None) -> str:
    url = (url or "").strip()
    return clean(url) if url.lower().startswith(("https://", "http://")) else ""


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


@functools.lru_cache(maxsize=16)
def _asset(name: str) -> str:
    """Style or script without what only its readers need: lines of comment, indents."""
    text = (resources.files(__package__) / "assets" / name).read_text(encoding="utf-8")
    # The parser of HTML makes every line end a newline before the hash of a script is taken.
    text = text.replace("\r\n", "\n")
    if name.endswith(".css"):
        text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
        return re.sub(r":\s+", ":", re.sub(r"\s*([{};,>])\s*", r"\1", text)).replace(";}", "}").strip()
    return re.sub(r"^\s*(//.*|/\*\*.*\*/)?\n?", "", text, flags=re.MULTILINE)


class _Code(NamedTuple):
    """What makes a page more than a text: `loader` stands in it as it is, and brings in the rest, which is `packed`.

    Packed, style and script of what only they show are a third as long.
    """

    loader: str
    script: str
    packed: str


@functools.lru_cache(maxsize=1)
def _code() -> _Code:
    parts = [*(_asset(f"records_{name}.js") for name in _SCRIPTS), _asset("records.js")]
    script = "(() => {\n'use strict';\n" + "\n".join(parts) + "})();\n"
    both = gzip.compress(orjson.dumps([_asset("records_script.css"), script]), 9, mtime=0)
    return _Code(_asset("records_loader.js"), script, base64.b64encode(both).decode("ascii"))


_OPTIONAL = re.compile(r"</(?:p|li|td|th|tr|thead|tbody)>")
_QUOTED = re.compile(r'(?<=\w)="([\w.-]+)"(?=[ >])')


@functools.lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    import jinja2
    import markupsafe

    class Dense(jinja2.PackageLoader):
        """Templates without line ends behind tags, and records without what the parser of HTML adds by itself.

        In 100 records that would be 30,000 empty texts, and half of the bytes.
        """

        def get_source(self, environment: jinja2.Environment, template: str) -> tuple[str, str, Any]:
            source, name, fresh = super().get_source(environment, template)
            source = re.sub(r">\n\s*", ">", source)
            if template in {"record.html", "parts.html"}:
                source = _QUOTED.sub(r"=\1", _OPTIONAL.sub("", source))
            return source, name, fresh

    def text(value: object) -> markupsafe.Markup:
        """A text between tags, where quotes are harmless."""
        return markupsafe.Markup(str(value).replace("&", "&amp;").replace("<", "&lt;"))  # noqa: S704

    env = jinja2.Environment(
        loader=Dense("prefect_trackrecord", "pages/templates/records"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(clock=clock, iso=iso, duration=duration, number=lambda n: f"{n:,}", t=text)
    return env


if hasattr(os, "register_at_fork"):
    # A thread of the parent may hold the lock of this one's templates; in the child nobody lets go of it.
    os.register_at_fork(after_in_child=_environment.cache_clear)
