"""Makes the pictures of README and docs: runs the examples and photographs what they write in headless Chromium.

    python docs/images/make.py [PICTURE...]

All of `PICTURES` where none is named. Needs the `dev` group; CHROMIUM names another browser than /usr/bin/chromium.
"""

from __future__ import annotations

import email
import email.policy
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from html import escape
from pathlib import Path

import voice_history
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from prefect_trackrecord.delivery import parse_config, run_delivery_report

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "flows" / "invoice_intake.py"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
RECORD = "INV-1042"


def records(tab: Page, work: Path) -> None:
    """The records page of the invoices' example, with one record in sight."""
    given = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "TRACK"))}
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)],
        env={**given, "PREFECT_HOME": str(work), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"},
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    page = Path(re.findall(r"The page about them: (.+)", done.stdout)[0])
    tab.set_viewport_size({"width": 1280, "height": 900})
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


def report(tab: Page, work: Path) -> None:
    """The page of the delivery report of a week."""
    config = parse_config(voice_history.CONFIG)
    page = work / "page.html"
    archive = voice_history.write(work / "history").archive
    run_delivery_report(config, now=voice_history.NOW, archive=archive, preview=page)
    tab.set_viewport_size({"width": 1100, "height": 1250})
    tab.goto(page.as_uri())


def mail(tab: Page, work: Path) -> None:
    """The mail about the same week, with the head that a mail program shows."""
    config = parse_config({**voice_history.CONFIG, "outbox": str(work / "outbox")})
    archive = voice_history.write(work / "history").archive
    run_delivery_report(config, now=voice_history.NOW, archive=archive)
    (path,) = (work / "outbox").glob("*.eml")
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    body = message.get_body(("html",))
    assert body is not None
    grey = "color:#5f6b7a;padding-right:8px"
    shown = [(name, escape(str(message[name]))) for name in ("Subject", "From", "To")]
    head = "".join(f'<div><span style="{grey}">{name}</span>{value}</div>' for name, value in shown)
    style = "font:14px/1.7 system-ui,sans-serif;padding:14px 28px;background:#fff;border-bottom:1px solid #d7dce3"
    text = body.get_content()
    inside = text.index(">", text.index("<body")) + 1
    (work / "mail.html").write_text(f'{text[:inside]}<div style="{style}">{head}</div>{text[inside:]}')
    tab.set_viewport_size({"width": 700, "height": 1250})
    tab.goto((work / "mail.html").as_uri())


PICTURES: dict[str, Callable[[Page, Path], None]] = {"records": records, "report": report, "mail": mail}


def photograph(name: str) -> Path:
    """Make one of `PICTURES`."""
    target = HERE / f"{name}.png"
    with tempfile.TemporaryDirectory() as work, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=FLAGS
        )
        tab = browser.new_page(color_scheme="light")
        PICTURES[name](tab, Path(work))
        tab.wait_for_timeout(500)
        tab.screenshot(path=target)
        browser.close()
    with Image.open(target) as picture:
        plain = picture.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    plain.save(target, optimize=True)
    return target


def main() -> None:
    """Make what is named, or all."""
    for name in sys.argv[1:] or PICTURES:
        target = photograph(name)
        print(f"{target}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
