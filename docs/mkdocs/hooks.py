"""What the site does beyond mkdocs: navigation from the folders, change log, list of modules, links out of the docs."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SECTIONS = {"Tutorial": "tutorial", "How-to": "how-to", "Reference": "reference", "Explanation": "explanation"}
MODULES = "explanation/modules.md"
FIRST = {"how-to": ["deploy.md"], "reference": ["api", "command-line.md"], "explanation": ["architecture.md"]}
LINK = re.compile(r"\[(?P<text>[^\]]+)\]\((?P<target>\.\.[^)#\s]*)(?:#[^)\s]*)?\)")


def on_config(config: Any) -> Any:
    """The navigation: a section for each folder, and its pages by name, so that a new page needs no line anywhere."""
    nav: list[Any] = [{"Overview": "index.md"}]
    for title, folder in SECTIONS.items():
        nav.append({title: _pages(DOCS / folder)})
    nav[-1]["Explanation"].append(MODULES)
    nav.append({"Decisions": _pages(DOCS / "adr")})
    others = sorted(p.name for p in DOCS.glob("*.md") if p.name not in {"index.md", "CONTRIBUTING.md"})
    nav.append({"Project": ["CONTRIBUTING.md", "CHANGELOG.md", *others]})
    config.nav = nav
    return config


def _pages(folder: Path) -> list[Any]:
    first = FIRST.get(folder.name, [])

    def place(path: Path) -> tuple[int, str]:
        return (first.index(path.name) if path.name in first else len(first), path.name)

    found: list[Any] = []
    for path in sorted(folder.iterdir(), key=place):
        if path.suffix == ".md":
            found.append(str(path.relative_to(DOCS)))
        elif path.is_dir() and any(path.glob("*.md")):
            found.append({{"api": "Python API"}.get(path.name, path.name.capitalize()): _pages(path)})
    return found


def on_files(files: Any, config: Any) -> Any:
    """The change log lies at the top of the repository, and is a page here."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "CHANGELOG.md", content=text))
    files.append(File.generated(config, MODULES, content=modules()))
    return files


def modules() -> str:
    """Every module by its room, and its job: the first line of its docstring."""
    package = ROOT / "src" / "prefect_trackrecord"
    rooms: dict[str, list[str]] = {}
    for path in sorted(package.rglob("*.py")):
        name = str(path.relative_to(package).with_suffix(""))
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        if text is None:
            raise PluginError(f"{path} does not say its job")
        first = " ".join(text.split("\n\n")[0].split())
        room = name.partition("/")[0] if "/" in name else ""
        rooms.setdefault(room, []).append(f"| `{name.replace('/', '.').removesuffix('.__init__')}` | {first} |")
    head = "What each module says of itself, made of the code. How they go together: "
    parts = ["# The rooms, file by file", "", f"{head}[How it works](architecture.md#the-house).", ""]
    for room, lines in rooms.items():
        parts += [f"## {room or 'the package itself'}", "", "| module | its job |", "|---|---|", *lines, ""]
    return "\n".join(parts)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links to files of the repository that are no pages become their names: the site stands without it."""
    here = (DOCS / page.file.src_uri).parent

    def mended(link: re.Match[str]) -> str:
        target = (here / link["target"]).resolve()
        return link[0] if DOCS in target.parents or not target.exists() else link["text"]

    return LINK.sub(mended, markdown)
