"""`trackrecord --install-completion`: only for a shell that is known, and for the one that was meant."""

import pytest


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def written(home):
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file() and path.suffix != ".toml")


@pytest.mark.parametrize(
    ("shell", "said"), [("/bin/tcsh", "the shell tcsh is not known"), ("", "SHELL does not say which shell it is")]
)
def test_a_shell_that_is_not_known_gets_no_others_completion(program, home, shell, said):
    done = program("--install-completion", HOME=str(home), SHELL=shell)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"error TR107: {said}; completion is there for bash, zsh, fish: "
        "trackrecord --install-completion --shell bash names one\n"
    )
    assert written(home) == []


@pytest.mark.parametrize(
    ("shell", "files"),
    [
        ("bash", [".bashrc", ".local/share/bash-completion/completions/trackrecord"]),
        ("zsh", [".zsh/completions/_cyclopts_trackrecord", ".zshrc"]),
        ("fish", [".config/fish/completions/trackrecord.fish"]),
    ],
)
def test_the_one_that_is_named(program, home, shell, files):
    done = program("--install-completion", "--shell", shell, HOME=str(home), SHELL="/bin/tcsh", ZSH="", ZSH_CUSTOM="")
    assert done.returncode == 0, done.stderr
    assert written(home) == files
    assert done.stdout.strip() in {str(home / name) for name in files}
    assert done.stderr.startswith(f"{shell} completes")
    assert "runs" in (home / (files[0] if shell != "bash" else files[1])).read_text()


def test_a_home_that_can_not_be_written(program, home):
    (home / "file").write_text("")
    done = program("--install-completion", "--shell", "fish", HOME=str(home / "file"))
    assert (done.returncode, done.stdout, written(home)) == (2, "", ["file"])
    assert done.stderr.startswith(f"error TR107: {home}/file/")
    assert "can't be written: Not a directory" in done.stderr


def test_one_that_nobody_knows_can_not_be_named(program, home):
    done = program("--install-completion", "--shell", "tcsh", HOME=str(home))
    assert (done.returncode, done.stdout, written(home)) == (2, "", [])
    assert "bash" in done.stderr


@pytest.mark.parametrize("shell", ["/usr/bin/fish", "/bin/zsh"])
def test_the_shell_in_use(program, home, shell):
    """Whatever started this, one that is known is taught."""
    done = program("--install-completion", HOME=str(home), SHELL=shell)
    assert done.returncode == 0, done.stderr
    assert "trackrecord" in "".join(written(home))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_be_taught(shell):
    from prefect_trackrecord.cli import app
    from prefect_trackrecord.cli.root import app as root

    assert app
    script = root.generate_completion(prog_name="trackrecord", shell=shell)
    for word in ("runs", "files", "delivery-report", "dry-run"):
        assert word in script
