"""The wheel alone in a clean environment, and what it says about itself. The slow part: `make package`."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import metadata, requires
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ROOT / "tests" / "packaging" / "names.txt"
slow = pytest.mark.skipif(not os.environ.get("TRACKRECORD_PACKAGING"), reason="TRACKRECORD_PACKAGING is not set")
MODULES = ("", ".record", ".tracking", ".callbacks", ".delivery", ".testing", ".store", ".flows")


def exported() -> str:
    lines = []
    for suffix in MODULES:
        module = importlib.import_module(f"prefect_trackrecord{suffix}")
        lines += [f"{module.__name__}.{name}" for name in sorted(module.__all__)]
    return "\n".join(lines) + "\n"


def test_the_exported_names_are_those_that_were_promised():
    """One that is gone breaks somebody; a new one is a promise. Both are meant, or `names.txt` is not changed."""
    assert exported() == NAMES.read_text()


@pytest.mark.parametrize("suffix", MODULES)
def test_every_exported_name_is_there(suffix):
    module = importlib.import_module(f"prefect_trackrecord{suffix}")
    for name in module.__all__:
        assert getattr(module, name) is not None, name


def test_metadata():
    about = metadata("prefect-trackrecord")
    assert about["License-Expression"] == "Apache-2.0"
    assert about["Requires-Python"] == ">=3.10"
    assert {"s3", "azure", "gcs", "email"} <= set(about.get_all("Provides-Extra"))
    core = {re.match(r"[\w-]+", r)[0] for r in requires("prefect-trackrecord") if "extra ==" not in r}
    assert core == {"prefect", "pydantic", "jinja2", "fsspec", "cyclopts", "orjson", "pyyaml", "rich"}


FLOW = """
from prefect import flow
from prefect_trackrecord import current_tracker, track

@track
@flow
def nightly():
    current_tracker().track_file("a.wav")

nightly()
"""


def built(target: Path) -> tuple[Path, Path]:
    """The sdist, and the wheel made of it, each by a build backend of its own environment, as users get it."""
    subprocess.run([sys.executable, "-m", "build", "--outdir", target, ROOT], check=True)
    (wheel,), (sdist,) = target.glob("*.whl"), target.glob("*.tar.gz")
    return wheel, sdist


def pip(python: Path, *arguments: object) -> None:
    options = ["-q", "--disable-pip-version-check", "-c", ROOT / "constraints.txt"]
    command = [sys.executable, "-m", "pip", "--python", python, "install", *options, *arguments]
    subprocess.run([str(part) for part in command], check=True)


@slow
@pytest.mark.timeout(600)
def test_wheel_and_sdist_alone(tmp_path):
    wheel, sdist = built(tmp_path / "dist")
    inside = zipfile.ZipFile(wheel).namelist()
    for kind in (".html", ".j2", ".css", ".js", "py.typed", "report.schema.json"):
        assert any(name.endswith(kind) for name in inside), kind
    assert not [name for name in inside if not name.startswith(("prefect_trackrecord/", "prefect_trackrecord-"))]
    with tarfile.open(sdist) as archive:
        assert any(name.endswith("pyproject.toml") for name in archive.getnames())
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip(python, wheel)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHONPATH", "PREFECT_", "TRACK"))}
    env |= {"PREFECT_HOME": str(tmp_path / "home"), "TRACKING_PATH": str(tmp_path / "history"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "240"}  # fmt: skip  # noqa: E501

    def run(*command):
        done = subprocess.run(
            [str(c) for c in command], capture_output=True, text=True, env=env, cwd=tmp_path, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    program = python.with_name("trackrecord")
    assert "delivery-report" in run(program, "--help")
    assert run(program, "--version") == "trackrecord 0.1.0\n"
    run(program, "demo")
    (tmp_path / "nightly.py").write_text(FLOW)
    run(python, "nightly.py")
    assert "nightly" in run(program, "runs", "list")
    extras = metadata("prefect-trackrecord").get_all("Provides-Extra")
    assert {"s3", "azure", "gcs", "email", "dask", "fast", "analytics"} <= set(extras)
    pip(python, "--dry-run", f"{wheel}[{','.join(extras)}]")


BROUGHT = {"pydantic_core": "pydantic", "typing_extensions": "pydantic", "markupsafe": "jinja2", "yaml": "pyyaml"}
BY_EXTRAS = {"azure": "adlfs", "botocore": "s3fs", "prefect_email": "prefect-email"}
BY_PREFECT = {"dotenv", "httpx", "pydantic_settings", "sqlalchemy", "anyio"}


def test_what_is_imported_is_asked_for():
    """Prefect 3.6 brings no cyclopts, and another version may drop what else we use."""
    asked = {re.match(r"[\w-]+", r)[0].replace("-", "_") for r in requires("prefect-trackrecord")}
    found = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.partition(".")[0])
    found -= sys.stdlib_module_names | {"prefect_trackrecord", "pytest", "msvcrt"} | BY_PREFECT
    names = {BROUGHT.get(name) or BY_EXTRAS.get(name) or name for name in found}
    assert {name.replace("-", "_") for name in names} <= asked
