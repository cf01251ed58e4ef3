"""What the command line reads from the files of Prefect's settings is what Prefect itself reads from them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from prefect_trackrecord import settings
from prefect_trackrecord.cli import prefect_files
from prefect_trackrecord.cli.place import settings_in

NAME = "PREFECT_INTEGRATIONS_TRACKRECORD_STORAGE"
TABLE = '[integrations.trackrecord]\nstorage = "{}"\n'
PROJECT = '[tool.prefect.integrations.trackrecord]\nstorage = "{}"\n'
PROFILE = 'active = "mine"\n[profiles.mine]\n' + NAME + ' = "{}"\n[profiles.other]\n' + NAME + ' = "other"\n'
DOTENV, TOML, PYPROJECT, PROFILES = ".env", "prefect.toml", "pyproject.toml", "home/profiles.toml"
ALL = {DOTENV: f"{NAME}=env-file", TOML: TABLE, PYPROJECT: PROJECT, PROFILES: PROFILE}
CASES = {
    "nothing": ({}, {}, None),
    "environment": (ALL, {NAME: "environment"}, "environment"),
    "empty in the environment": (ALL, {NAME: ""}, None),
    ".env": (ALL, {}, "env-file"),
    ".env, quoted and in small letters": ({DOTENV: f"export {NAME.lower()}='a b'"}, {}, "a b"),
    ".env, interpolated": ({DOTENV: f"PLACE=s3://b\n{NAME}=${{PLACE}}/h"}, {}, "s3://b/h"),
    ".env, empty": ({**ALL, DOTENV: f"{NAME}="}, {}, None),
    ".env, without a value": ({**ALL, DOTENV: NAME}, {}, TOML),
    TOML: ({k: v for k, v in ALL.items() if k != DOTENV}, {}, TOML),
    PYPROJECT: ({PYPROJECT: PROJECT, PROFILES: PROFILE}, {}, PYPROJECT),
    "profile": ({PROFILES: PROFILE}, {}, PROFILES),
    "another profile": ({PROFILES: PROFILE}, {"PREFECT_PROFILE": "other"}, "other"),
    "a profile that is not there": ({PROFILES: PROFILE}, {"PREFECT_PROFILE": "none"}, None),
    "test mode": ({PROFILES: PROFILE}, {"PREFECT_TEST_MODE": "1"}, None),
    "profiles elsewhere": ({"else.toml": PROFILE, DOTENV: "PREFECT_PROFILES_PATH=else.toml"}, {}, "else.toml"),
    "profiles by prefect.toml": ({"else.toml": PROFILE, TOML: 'profiles_path = "else.toml"'}, {}, "else.toml"),
    "home in .env": ({DOTENV: "PREFECT_HOME=moved"}, {"PREFECT_HOME": None}, None),
    "home in prefect.toml": ({TOML: 'home = "~/moved"'}, {"PREFECT_HOME": None}, None),
    "home in pyproject.toml": ({PYPROJECT: '[tool.prefect]\nhome = "moved"'}, {"PREFECT_HOME": None}, None),
    "other tables": ({TOML: "[server]\nhomely = 1\n[integrations.other]\nstorage = 3"}, {}, None),
}
ODD = {
    "no TOML": {TOML: "[integrations.trackrecord"},
    "no text": {TOML: "[integrations.trackrecord]\nstorage = 3"},
    "no table": {TOML: 'integrations = "trackrecord"'},
}


def write(folder: Path, files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "home").mkdir()
    for name, text in files.items():
        (folder / name).write_text(text.replace("{}", name))
    monkeypatch.chdir(folder)
    for name in ("TRACKING_PATH", NAME, "PREFECT_PROFILE", "PREFECT_TEST_MODE", "TRACKRECORD_SPOOL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("PREFECT_HOME", str(folder / "home"))
    settings.current.cache_clear()


pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="without tomllib Prefect is asked")


@pytest.mark.parametrize("case", CASES)
def test_it_is_what_prefect_reads(case, tmp_path, monkeypatch):
    from prefect.settings import Settings

    from prefect_trackrecord._prefect.settings import TrackRecordSettings

    files, env, storage = CASES[case]
    write(tmp_path, files, monkeypatch)
    for name, value in env.items():
        monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
    found = settings_in(Path())
    assert (TrackRecordSettings().storage or None) == found.prefect_storage == storage
    assert Path(Settings().home).absolute() == found.prefect_home.absolute()
    assert found.spool == found.prefect_home / "trackrecord" / "spool"


@pytest.mark.parametrize("case", ODD)
def test_what_is_odd_is_left_to_prefect(case, tmp_path, monkeypatch):
    write(tmp_path, ODD[case], monkeypatch)
    with pytest.raises(prefect_files.OddError):
        prefect_files.told(settings.current(), Path())
