"""Storage URLs: what is understood, what is refused, and that nothing is imported or shown needlessly."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from prefect_trackrecord.errors import ConfigurationError, MissingDriverError, StorageUrlError
from prefect_trackrecord.store import check_url, open_store, parse_url
from prefect_trackrecord.store._url import shown


@pytest.mark.parametrize(
    ("url", "protocol", "path", "canonical"),
    [
        ("/data/history", "file", "/data/history", "/data/history"),
        ("/data//x/../history/", "file", "/data/history", "/data/history"),
        ("file:///data/a%20b", "file", "/data/a b", "/data/a b"),
        ("file:/data/x", "file", "/data/x", "/data/x"),
        ("file://localhost/data", "file", "/data", "/data"),
        ("local:///data", "file", "/data", "/data"),
        ("memory://a/b/", "memory", "a/b", "memory://a/b"),
        ("memory://", "memory", "", "memory://"),
        ("s3://bucket", "s3", "bucket", "s3://bucket"),
        ("S3://Bucket//a/b/", "s3", "Bucket/a/b", "s3://Bucket/a/b"),
        ("s3a://bucket/a", "s3", "bucket/a", "s3://bucket/a"),
        ("gcs://bucket/a", "gs", "bucket/a", "gs://bucket/a"),
        ("azure://container/run_metadata", "abfs", "container/run_metadata", "abfs://container/run_metadata"),
        ("az://container/x", "abfs", "container/x", "abfs://container/x"),
        (
            "abfss://c@acc.dfs.core.windows.net/x",
            "abfs",
            "c@acc.dfs.core.windows.net/x",
            "abfs://c@acc.dfs.core.windows.net/x",
        ),
        ("sftp://me:secret@host:22/data", "sftp", "me:secret@host:22/data", "sftp://host:22/data"),
        ("webdav://host/x?token=secret", "webdav", "host/x", "webdav://host/x"),
    ],
)
def test_understood(url: str, protocol: str, path: str, canonical: str) -> None:
    parsed = parse_url(url)
    assert (parsed.protocol, parsed.path, parsed.canonical) == (protocol, path, canonical)
    assert "secret" not in repr(parsed)


def test_home_and_relative_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert parse_url("~/history").path == str(tmp_path / "home" / "history")
    assert parse_url("history").path == str(tmp_path / "history")
    assert parse_url(Path("history")).path == str(tmp_path / "history")
    assert parse_url("file://~/history").path == str(tmp_path / "home" / "history")
    assert open_store("history").url == str(tmp_path / "history")
    assert not (tmp_path / "history").exists()


def test_windows_paths_do_no_harm() -> None:
    for text in (r"C:\data\history", "C:/data/history", "file:///C:/data", r"\\host\share"):
        assert parse_url(text).protocol == "file"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("s3://", "names no bucket; write s3://bucket/path"),
        ("s3:///x", "names no bucket"),
        ("azure://", "names no container; write azure://container/path"),
        ("s3:/bucket/x", "did you mean s3://bucket/x?"),
        ("s3:bucket/x", "did you mean s3://bucket/x?"),
        ("s4://bucket/x", "unknown protocol s4://.*did you mean s3://"),
        ("azur://c/x", "did you mean azure://"),
        ("qwertyuiop://x", "known are, among others"),
        ("s3 ://bucket", "can't be parsed"),
        ("://x", "can't be parsed"),
        ("s3://bucket/../x", "'..'"),
        ("s3://bucket/x\n", "control character"),
        ("a\0b", "control character"),
        ("s3://bucket/x?versionId=1", "query"),
        ("s3://KEY:verysecret@bucket/x", "storage options"),
        ("abfs://me:verysecret@acc.dfs.core.windows.net/x", "storage options"),
        ("s3://bucket/x?sig=verysecret", "storage options"),
        ("simplecache::s3://bucket", "chains"),
        ("zip://x::s3://bucket", "chains"),
        ("https://host/x", "only be read"),
        ("adl://x/y", "abfs://"),
        ("file://data/x", "file:///data/x"),
        ("file:///", "no folder"),
        ("sftp://", "names no place"),
    ],
)
def test_refused(url: str, says: str) -> None:
    with pytest.raises(StorageUrlError, match=says) as caught:
        check_url(url)
    assert "verysecret" not in str(caught.value)
    with pytest.raises(ConfigurationError):
        open_store(url)


def test_shown_hides_passwords_and_queries() -> None:
    assert shown("s3://me:secret@bucket/x?sig=secret") == "s3://bucket/x"
    assert shown("/plain/path?x") == "/plain/path?x"


@pytest.mark.parametrize(
    ("url", "package", "says"),
    [
        ("s3://bucket/x", "s3fs", r'pip install "prefect-trackrecord\[s3\]"'),
        ("s3a://bucket/x", "s3fs", r'pip install "prefect-trackrecord\[s3\]"'),
        ("azure://container/x", "adlfs", r'azure://.*pip install "prefect-trackrecord\[azure\]"'),
        ("gs://bucket/x", "gcsfs", r'pip install "prefect-trackrecord\[gcs\]"'),
        ("box://x", "boxfs", "boxfs"),
        ("sftp://host/x", "paramiko", "paramiko"),
    ],
)
def test_missing_driver(monkeypatch: pytest.MonkeyPatch, url: str, package: str, says: str) -> None:
    from fsspec.registry import _registry

    for protocol in ("s3", "s3a", "abfs", "gs", "box", "sftp"):
        monkeypatch.delitem(_registry, protocol, raising=False)
    monkeypatch.delitem(sys.modules, "fsspec.implementations.sftp", raising=False)
    monkeypatch.setitem(sys.modules, package, None)  # its import now fails
    with pytest.raises(MissingDriverError, match=says):
        check_url(url)
    with pytest.raises(MissingDriverError, match=says):
        open_store(url)


def test_a_driver_that_is_there_is_not_imported_by_the_check(tmp_path: Path) -> None:
    pytest.importorskip("s3fs")
    code = """
import sys
from prefect_trackrecord.store import check_url, open_store
open_store("some/folder"); check_url("~/x"); check_url("file:///x")
assert "fsspec" not in sys.modules, "a local path needs no fsspec"
check_url("s3://bucket/x")
assert "fsspec" in sys.modules and "s3fs" not in sys.modules, "a check imports no driver"
assert "prefect" not in sys.modules and "pytest" not in sys.modules
import prefect_trackrecord.testing
assert "prefect" not in sys.modules and "pytest" not in sys.modules
"""
    paths = os.pathsep.join(path for path in sys.path if path)
    env = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
