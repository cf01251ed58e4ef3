"""Wheel and sdist, built here; the wheel alone in an environment of its own: command, tracked flow, templates.

What it depends on is lent by the environment that runs the tests. `make package` installs it all anew.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.prefect
ROOT = Path(__file__).parents[2]
FLOW = """
from prefect import flow
from prefect_trackrecord import current_tracker, track

@track
@flow
def nightly():
    current_tracker().track_file("a.wav")

nightly()
"""


def build(source: Path, target: Path) -> tuple[Path, Path]:
    pytest.importorskip("hatchling")
    pytest.importorskip("hatch_fancy_pypi_readme")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", target], cwd=source, check=True)
    return next(target.glob("*.whl")), next(target.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build(ROOT, tmp_path_factory.mktemp("dist"))


def test_the_sdist_makes_the_same_wheel(built, tmp_path):
    wheel, sdist = built
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    again, _ = build(next(tmp_path.glob("prefect_trackrecord-*")), tmp_path / "dist")
    inside = {i.filename: i.CRC for i in zipfile.ZipFile(wheel).infolist()}
    assert inside == {i.filename: i.CRC for i in zipfile.ZipFile(again).infolist()}
    assert not [name for name in inside if not name.startswith(("prefect_trackrecord/", "prefect_trackrecord-"))]
    source = ROOT / "src"
    here = {str(p.relative_to(source)) for p in source.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    assert here <= set(inside)


def test_what_an_index_shows_leads_nowhere_that_is_not_there(built):
    about = zipfile.ZipFile(built[0])
    (name,) = [name for name in about.namelist() if name.endswith(".dist-info/METADATA")]
    head, _, text = about.read(name).decode().partition("\n\n")
    assert "Description-Content-Type: text/markdown" in head
    assert text.startswith("# prefect-trackrecord")
    assert "trackrecord files failed" in text, "all of the README"
    assert not re.findall(r"\]\((?!https?:)[^)]*\)", text)
    assert "<!--" not in text


def test_the_wheel_alone(built, tmp_path):
    from prefect.settings import PREFECT_API_URL

    place = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    python = place / "bin" / "python"
    options = ["--no-deps", "--no-index", "-q", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", *options, built[0]], check=True)
    (site,) = place.glob("lib/python*/site-packages")
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")  # a folder named so lends no editable installs
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHONPATH", "TRACK", "PREFECT_TEST"))}
    env |= {"TRACKING_PATH": str(tmp_path / "history"), "PREFECT_API_URL": PREFECT_API_URL.value()}

    def run(*command):
        done = subprocess.run(
            [str(c) for c in command], capture_output=True, text=True, env=env, cwd=tmp_path, check=False, timeout=240
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    program = place / "bin" / "trackrecord"
    code = "import prefect_trackrecord as p; print(p.__file__, p.__version__)"
    assert run(python, "-c", code).split() == [str(site / "prefect_trackrecord" / "__init__.py"), "0.1.0"]
    assert "delivery-report" in run(program, "--help")
    run(program, "demo")  # with the templates of pages, mails and records
    (tmp_path / "nightly.py").write_text(FLOW)
    run(python, "nightly.py")
    assert "nightly" in run(program, "runs", "list")
