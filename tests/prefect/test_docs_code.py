"""The Python in README and docs runs: page by page, each block after those above it, against a real Prefect API."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "docs"))
from docs_blocks import ROOT, Block, blocks_of, pages

PAGES = [p for p in pages() if any(b.commands or (b.language == "python" and b.run) for b in blocks_of(p))]


def run_python(block: Block, code: str, names: dict, folder: Path) -> None:
    """Run a block as part of a module of its own file, so that Prefect finds its source."""
    path = folder / f"block_{block.line}.py"
    path.write_text(code, encoding="utf-8")
    names["__file__"] = str(path)
    exec(compile(code, str(path), "exec"), names)


def run_commands(block: Block) -> None:
    """Run the `trackrecord` commands of a shell block; each must end well."""
    from test_blocks import commands

    from prefect_trackrecord.cli.app import run

    for words in commands(block):
        assert run(words) == 0, f"{block}: trackrecord {' '.join(words)}"


@pytest.mark.prefect
@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch, history):
    from prefect.blocks.core import Block

    from prefect_trackrecord import settings

    save = Block.save  # pages share a server here, and may save a block of the same name
    monkeypatch.setattr(Block, "save", lambda self, name, overwrite=True: save(self, name, overwrite=True))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    names = {"__name__": "docs_page"}
    for block in blocks_of(page):
        settings.current.cache_clear()
        if block.first:
            run_python(block, block.first, names, tmp_path)
        if block.language == "python" and block.run:
            try:
                run_python(block, block.text, names, tmp_path)
            except Exception as exc:
                raise AssertionError(f"{block}: {type(exc).__name__}: {exc}") from exc
        elif block.commands:
            with contextlib.redirect_stderr(sys.stderr):
                run_commands(block)
    for name in set(sys.modules) - before:  # modules that a page wrote for itself
        path = getattr(sys.modules[name], "__file__", None) or ""
        if path.startswith(str(tmp_path) + os.sep):
            del sys.modules[name]
