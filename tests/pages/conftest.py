"""A browser to open pages with, and axe-core to judge them; reports to show come from the tests of reports."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


# Not for the session: as long as it is open, its event loop would stop tests that run one of their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no browser at {CHROMIUM}; CHROMIUM names another")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open an address; at the end of the test nothing may have gone wrong in the console or over the network."""
    trouble: list[str] = []
    contexts = []

    def goto(address: str, **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1300, "height": 850}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: trouble.append(m.text) if m.type in {"error", "warning"} else None)
        page.on("pageerror", lambda e: trouble.append(str(e)))
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else trouble.append(r.url))
        page.goto(address)
        if options.get("java_script_enabled", True) and page.locator("html[data-mode]").count():
            # wait_for_function needs eval, which the page's policy forbids.
            wait(page, "document.documentElement.dataset.readyMs")
        return page

    goto.trouble = trouble
    yield goto
    for context in contexts:
        context.close()
    assert trouble == []


def wait(page: Any, expression: str, seconds: float = 15) -> Any:
    for _ in range(int(seconds * 20)):
        if found := page.evaluate(expression):
            return found
        page.wait_for_timeout(50)
    raise AssertionError(f"never true: {expression}")


@pytest.fixture
def until() -> Callable[..., Any]:
    return wait


@pytest.fixture(scope="module")
def axe_core(tmp_path_factory: Any) -> str:
    """The script of axe-core: AXE_CORE names it, else npm gets it."""
    given = os.environ.get("AXE_CORE")
    if given:
        return Path(given).read_text(encoding="utf-8")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("axe-core needs npm, or AXE_CORE with the path of axe.min.js")
    folder = tmp_path_factory.mktemp("axe")
    try:
        subprocess.run(
            [npm, "install", "--no-save", "--no-audit", "--no-fund", "--prefix", str(folder), "axe-core@4"],
            check=True,
            capture_output=True,
            timeout=90,
        )
    except (subprocess.SubprocessError, OSError) as exc:
        pytest.skip(f"axe-core could not be installed: {exc}")
    return (folder / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
def axe(axe_core: str) -> Callable[[Any], list[Any]]:
    """What axe-core finds serious in a page that was opened without its policy (`bypass_csp`)."""

    def findings(page: Any) -> list[Any]:
        page.evaluate(axe_core)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            (v["id"], v["nodes"][0]["html"][:200], v["nodes"][0]["failureSummary"][:300])
            for v in found["violations"]
            if v["impact"] in {"serious", "critical"}
        ]

    return findings
