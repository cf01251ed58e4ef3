"""The code blocks of README and docs, with the marks that say how each is tried.

A mark is a comment before the block, which no reader sees: `<!-- run: no, it needs a bucket -->` leaves it out,
`<!-- run: commands -->` runs the `trackrecord` commands of a shell block (which are only checked otherwise), and
`<!-- run: first` with lines of Python up to `-->` runs these before the page's next block.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<lang>[\w+-]*)[^\n]*\n(?P<body>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL
)
_MARK = re.compile(r"<!-- run: (?P<what>no|commands|first)(?P<rest>(?:(?!-->).)*)-->\s*\Z", re.DOTALL)


@dataclass
class Block:
    """One block: its page, line, language and text; how it is run, and what before it."""

    page: str
    line: int
    language: str
    text: str
    run: bool = True
    commands: bool = False
    first: str = ""
    reason: str = field(default="")

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """README, and every page of the docs."""
    return [ROOT / "README.md", *sorted(p for p in DOCS.rglob("*.md"))]


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page in their order."""
    text = page.read_text(encoding="utf-8")
    found = []
    end = 0
    for match in _FENCE.finditer(text):
        indent = len(match["indent"])
        body = "".join(line[indent:] if line.strip() else line for line in match["body"].splitlines(keepends=True))
        block = Block(str(page.relative_to(ROOT)), text.count("\n", 0, match.start()) + 2, match["lang"], body)
        before = text[end : match.start()].rstrip()
        while mark := _MARK.search(before):
            if mark["what"] == "no":
                block.run, block.reason = False, mark["rest"].strip(" ,\n")
            elif mark["what"] == "commands":
                block.commands = True
            else:
                block.first = mark["rest"] + block.first
            before = before[: mark.start()].rstrip()
        found.append(block)
        end = match.end()
    return found


def blocks(*languages: str) -> list[Block]:
    """All blocks of these languages."""
    return [b for page in pages() for b in blocks_of(page) if b.language in languages]
