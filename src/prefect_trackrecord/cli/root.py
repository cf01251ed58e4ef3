"""The program that every command joins."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from cyclopts import App

from prefect_trackrecord.cli import commands


def _version() -> str:
    from prefect_trackrecord import __version__

    return f"trackrecord {__version__}"


app = App(
    name="trackrecord",
    help="The track record of Prefect flows and other commands: what became of every run, file and email.",
    version=_version,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # `cli.app.run` tells it, and what was begun is undone on the way
    help_epilogue="Example:\n  trackrecord runs list --status failed\n\n"
    "Each command has a help of its own: trackrecord runs list --help",
)


@app.command(
    name="--install-completion",
    help_epilogue="Example:\n  trackrecord --install-completion --shell fish",
)
def _install_completion(*, shell: Literal["bash", "zsh", "fish"] | None = None, output: Path | None = None) -> int:
    """Teach your shell (bash, zsh, fish) to complete commands and options.

    Args:
        shell: Which one; where left out, the one in use.
        output: Where its script is written; where left out, the place in which that shell looks.
    """
    from prefect_trackrecord.cli.completion import install_completion

    return install_completion(shell, output)


for _name, _module in commands.COMMANDS.items():
    app.command(f"{commands.__name__}.{_module}:command", name=_name)
