"""How texts, paths, bars and tables are written in the markdown of artifacts. Pure.

Within what Prefect's pages bear: no raw HTML, local paths as code, no word that is wider than their column.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence

from prefect_trackrecord.pages.words import middle, one_line

WIDTH = 24
MAX_CELL = 300
MAX_PATH = 64
"""Characters of code that fit one line beside the page's margin; a word of text has no more room."""
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|!~&])")
_BEGINS = re.compile(r"^([-+=](?=\s|[-=]|$)|\d+(?=[.)](?:\s|$)))")
_LONG = re.compile(rf"\S{{{MAX_PATH + 1},}}")
_URL = re.compile(
    r"(?:https?|ftp)://[^\s<>|\"'`\\]*[^\s<>|\"'`\\.,;:!?)\]}…]"
    r"|\bwww\.[^\s<>|\"'`\\]*[A-Za-z0-9/]"
    r"|[A-Za-z0-9._+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]*[A-Za-z0-9])+"
)
"""What both pages make a link of by themselves, backslashes included."""


def escape(text: str) -> str:
    """Text as text inside markdown, also inside a table: on one line, bounded, nothing of it is markup."""
    line = _LONG.sub(_shortened, one_line(text))
    if len(line) > MAX_CELL:
        line = line[: MAX_CELL - 1] + "…"
    whole = by_urls(line, _URL, _link_of, _plain)
    return _BEGINS.sub(lambda sign: f"\\{sign[1]}" if not sign[1].isdigit() else f"{sign[1]}\\", whole)


def by_urls(line: str, urls: re.Pattern[str], shown: Callable[[str], str], between: Callable[[str], str]) -> str:
    """A line with its URLs as one function shows them, and what is between them as another does."""
    out, end = [], 0
    for url in urls.finditer(line):
        out += [between(line[end : url.start()]), shown(url[0])]
        end = url.end()
    return "".join([*out, between(line[end:])])


def _shortened(word: re.Match[str]) -> str:
    return middle(word[0], MAX_PATH)


def _plain(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)


def _link_of(url: str) -> str:
    """A URL as the link that it is; as code where that would lead astray: one that was cut, or one with `&`.

    Of the latter one page makes `&amp;`, also in the link's address. `www.` is no link but by GitHub's markdown.
    """
    return f"`{url}`" if "…" in url or "&" in url or url.startswith("www.") else f"<{url}>"


def code(text: str) -> str:
    """Text as code, outside of tables: there a bar would need a backslash, which is seen elsewhere."""
    line = one_line(text)
    if len(line) > MAX_CELL:
        line = "…" + line[-(MAX_CELL - 1) :]
    if "`" not in line:
        return f"`{line}`"
    fence = "`" * (max(len(run) for run in re.findall(r"`+", line)) + 1)
    return f"{fence} {line} {fence}"


def fenced(text: str) -> list[str]:
    """Lines as they are, such as a traceback's."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return [fence, text.strip("\n"), fence]


def short_path(path: str) -> str:
    """A path that fits one line: its end is what tells."""
    return path if len(path) <= MAX_PATH else "…" + path[-(MAX_PATH - 1) :]


def link(name: str, url: str | None) -> str:
    """A name that leads to a page; only the name where there is none."""
    return f"[{escape(name)}]({url})" if url else escape(name)


def bar(part: int, all_: int) -> str:
    """A bar of text, which both of Prefect's pages show alike: `█████░░░░░ 50 %`."""
    full = round(WIDTH * part / all_)
    full = min(max(full, 1 if part else 0), WIDTH - 1 if part < all_ else WIDTH)
    share = part / all_
    percent = "100" if part == all_ else f"{min(share * 100, 99.9):.1f}".removesuffix(".0")
    return f"`{'█' * full}{'░' * (WIDTH - full)}` {percent} %"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table's lines; its cells are escaped."""
    return [
        "| " + " | ".join(head) + " |",
        "|" + " --- |" * len(head),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]


def item(name: str, kind: str | None, message: str | None, url: str | None) -> list[str]:
    """One failure as a list's item: tables run out of Prefect's narrow column where a path is long."""
    where = f" [task run]({url})" if url else ""
    return [f"- {code(short_path(name))}{where}", f"  **{escape(kind or 'failed')}** {escape(message or '')}".rstrip()]


def common_folder(paths: Sequence[str]) -> str:
    """The folder, with its slash, that all of several paths are in; "" where there is none worth telling."""
    if len(paths) < 2:
        return ""
    common = os.path.commonprefix(list(paths))  # noqa: RUF071 - cut back to a whole folder below
    folder = common[: common.rfind("/") + 1]
    return folder if len(folder) > len("/x/") else ""
