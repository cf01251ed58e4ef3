"""Prefect's two UIs in a headless Chromium: opens pages, waits for words on them, keeps pictures where asked to."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
UIS = {"v2": "/v2", "v1": ""}


@contextmanager
def opened(base):
    """Gives `see(ui, path, *words)`: opens a page, waits until all words are on it, and gives its text."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1100})
        errors = []
        page.on("pageerror", lambda e: errors.append(str(e)))

        def see(ui, path, *words, seconds=180, picture=None):
            page.goto(base + UIS[ui] + path)
            end = time.monotonic() + seconds
            while True:
                text = page.evaluate("document.body.innerText")
                missing = [w for w in words if w not in text]
                if not missing:
                    break
                assert time.monotonic() < end, f"{missing} not on {ui}{path}: {text[:1500]}"
                page.wait_for_timeout(200)
            if folder := os.environ.get("E2E_PICTURES"):
                page.wait_for_timeout(1500)
                name = picture or path.strip("/").replace("/", "-")
                page.screenshot(path=str(Path(folder) / f"{ui}-{name}.png"))
            return text

        see.page, see.errors = page, errors
        yield see
        browser.close()
