"""The example flow's own parts: which files it takes, and when it takes a result from the cache."""

import sys
from pathlib import Path

import pytest

FLOWS = Path(__file__).parents[2] / "flows"


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(str(FLOWS))
    import check_python_files

    yield check_python_files
    sys.modules.pop("check_python_files")


def test_which_files_it_takes(example, tmp_path):
    for name in ("b.py", "a.py", "sub/c.py", "sub/site-packages/no.py", "site-packages/no.py", "no.txt", "no.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "folder.py" / "d.py").touch()
    (tmp_path / "link.py").symlink_to(tmp_path / "a.py")
    (tmp_path / "linked").symlink_to(tmp_path / "sub")
    assert list(example.python_files(tmp_path)) == ["a.py", "b.py", "folder.py/d.py", "sub/c.py"]


def test_the_cache_key_follows_name_and_content(example, tmp_path):
    def key(name, content, folder="one"):
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return example.unchanged(None, {"folder": path.parent, "name": name})

    first = key("a.py", b"x = 1")
    assert key("a.py", b"x = 1") == first
    assert key("a.py", b"x = 1", folder="copy") == first
    assert key("a.py", b"x = 2") != first
    assert key("b.py", b"x = 1") != first
    assert key("empty.py", b"") is None


def test_a_folder_that_is_none_is_refused(example, tmp_path):
    with pytest.raises(NotADirectoryError, match="is no folder"):
        example.check_python_files.fn.__wrapped__(tmp_path / "none")
