"""The program that every command joins, and the options that most of them have."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

Storage = Annotated[
    str | None,
    Parameter(
        help="A folder, a URL such as s3://bucket/path, or trackrecord-storage/<block name>. Where left out: "
        "TRACKING_PATH, then the setting PREFECT_INTEGRATIONS_TRACKRECORD_STORAGE, then a folder under the Prefect "
        "home, just as where flows are tracked."
    ),
]
Json = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON, with every field.")]


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
app.register_install_completion_command(help="Teach your shell (bash, zsh, fish) to complete commands and options.")
