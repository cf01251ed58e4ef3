"""Makes the pictures of the README: runs the invoices' example and photographs its page in headless Chromium.

    python docs/images/make.py [PAGE]

PAGE is a page that is there already. Needs the `dev` group; CHROMIUM names another browser than /usr/bin/chromium.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "flows" / "invoice_intake.py"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
RECORD = "INV-1042"


def page_of_example(home: str) -> Path:
    """Run the example with a Prefect home of its own; returns its page."""
    given = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "TRACK"))}
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)],
        env={**given, "PREFECT_HOME": home, "PREFECT_SERVER_ANALYTICS_ENABLED": "false"},
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return Path(re.findall(r"The page about them: (.+)", done.stdout)[0])


def photograph(page: Path, target: Path) -> None:
    """The page with one record in sight, as PNG."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=FLAGS
        )
        tab = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
        tab.goto(f"{page.absolute().as_uri()}#record={RECORD}")
        tab.wait_for_timeout(2_000)
        # The story of the record's changes: from where its picture is shown.
        tab.evaluate(
            "const line = [...document.querySelectorAll('article')]"
            f".find(a => a.querySelector('h3').innerText === '{RECORD}');"
            "const shot = line.querySelector('.shot').closest('li');"
            "document.activeElement.blur();"
            "window.scrollTo(0, shot.getBoundingClientRect().top + scrollY - 130)"
        )
        tab.wait_for_timeout(500)
        tab.screenshot(path=target)
        browser.close()
    with Image.open(target) as picture:
        plain = picture.convert("RGB")
    plain.save(target, optimize=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        page = Path(sys.argv[1]) if len(sys.argv) > 1 else page_of_example(home)
        photograph(page, HERE / "records.png")
        print(f"{HERE / 'records.png'}: {(HERE / 'records.png').stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
