"""`trackrecord doctor`: tries what flows, recovery and reports rely on; says what is wrong, and what to do."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version

from prefect_trackrecord.cli.checking_spool import check_spool
from prefect_trackrecord.cli.checking_storage import check_storage
from prefect_trackrecord.cli.finding import Finding
from prefect_trackrecord.cli.output import dump, note, table
from prefect_trackrecord.cli.place import storage_of
from prefect_trackrecord.cli.prefect_settings import WAY_OUT, wrong_setting
from prefect_trackrecord.cli.progress import waiting
from prefect_trackrecord.errors import ConfigurationError
from prefect_trackrecord.settings import told, variable

_SOUND = (3, 9)
"""Prefect from here on works with what it asks for; what is below is about older ones, which ask for too little."""
_BROKEN = (
    ("fastapi", (0, 151), "the server of Prefect {} does not work with it", "pip install 'fastapi<0.151'"),
    ("sqlalchemy", (2, 1), "the scheduler of Prefect {} fails with it", "pip install 'sqlalchemy<2.1'"),
)


def doctor(storage: str | None, as_json: bool) -> int:
    """Run all checks; 1 where something does not work."""
    with waiting("trying"):
        found = list(_all(storage))
    if as_json:
        dump([asdict(one) for one in found])
    else:
        table(("check", "result", "message"), [(f.check, f.result, f.said) for f in found])
        for one in found:
            if one.way_out:
                note(f"{one.check}: {one.way_out}")
    wrong = sum(one.result == "wrong" for one in found)
    look = sum(one.result == "warning" for one in found)
    well = f"nothing is wrong; {look} of {len(found)} checks ask for a look" if look else "nothing is wrong"
    note(f"{wrong} of {len(found)} checks found something wrong" if wrong else well)
    return 1 if wrong else 0


def _all(storage: str | None) -> Iterator[Finding]:
    yield from _versions()
    yield from _settings()
    try:
        archive = storage_of(storage).archive
        store = archive.store
    except ConfigurationError as exc:
        yield Finding("storage", "wrong", str(exc), "name a storage that works: --storage, or TRACKING_PATH")
    except Exception as exc:  # noqa: BLE001 - a wrong setting stops Prefect's import with whatever it likes
        yield _setting(exc)
    else:
        yield from check_storage(store)
        yield from check_spool(archive)
    try:
        yield _prefect()
    except Exception as exc:  # noqa: BLE001 - as above
        yield _setting(exc)
    yield _mail()


def _setting(error: Exception) -> Finding:
    """What is wrong with Prefect's settings; anything else is raised again."""
    wrong = wrong_setting(error)
    if wrong is None:
        raise error
    return Finding("Prefect settings", "wrong", str(wrong), WAY_OUT)


def _versions() -> Iterator[Finding]:
    shown = [f"python {'.'.join(map(str, sys.version_info[:3]))}"]
    for name in ("prefect-trackrecord", "prefect", "pydantic", "fsspec"):
        try:
            shown.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            shown.append(f"{name} (no version)")
    yield Finding("versions", "ok", ", ".join(shown))
    yield from _pairs(version)


def _pairs(version_of: Callable[[str], str]) -> Iterator[Finding]:
    """What does not go together with the Prefect that is installed."""
    try:
        prefect = version_of("prefect")
    except PackageNotFoundError:
        return
    if _parts(prefect) >= _SOUND:
        return
    for name, least, what, way_out in _BROKEN:
        try:
            has = version_of(name)
        except PackageNotFoundError:
            continue
        if _parts(has) >= least:
            yield Finding("versions", "warning", f"{name} {has}: {what.format(prefect)}", way_out)


def _parts(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())


def _settings() -> Iterator[Finding]:
    """Settings that can't be used; flows go on without them."""
    from prefect_trackrecord._prefect.settings import wrong

    found = wrong()
    told(found)  # in the table, with what is used instead: no need for a warning, nor for a way out
    for said in found:
        yield Finding("settings", "wrong", said)


def _prefect() -> Finding:
    from prefect_trackrecord._prefect.checking import check_api

    url, trouble = check_api()
    if url is None:
        said = "none is configured: `recover` judges runs by their processes alone"
        return Finding("Prefect API", "warning", said, "set PREFECT_API_URL where there is a server")
    if trouble is not None:
        return Finding("Prefect API", "wrong", f"{url}: {trouble}", "does the server run? is PREFECT_API_URL right?")
    return Finding("Prefect API", "ok", url)


def _mail() -> Finding:
    host = variable("TRACKRECORD_SMTP_HOST")
    if host is None:
        return Finding("mail server", "ok", "TRACKRECORD_SMTP_HOST is not set; a report's configuration may name one")
    from prefect_trackrecord.delivery.server import server_from_environment
    from prefect_trackrecord.delivery.smtp import Mailer

    try:
        server = server_from_environment()
    except ConfigurationError as exc:
        return Finding("mail server", "wrong", str(exc), "mend the variable that it names")
    assert server is not None
    with Mailer(server) as mailer:
        trouble = mailer.check()
    if trouble is not None:
        return Finding("mail server", "wrong", trouble.reason, "look at TRACKRECORD_SMTP_HOST and its siblings")
    return Finding("mail server", "ok", f"{host} lets us in")
