"""`trackrecord --install-completion`: teaches a shell to complete commands and options."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, get_args

from prefect_trackrecord.cli.output import note, say
from prefect_trackrecord.errors import UsageError

Shell = Literal["bash", "zsh", "fish"]
KNOWN: tuple[Shell, ...] = get_args(Shell)
_NEXT = {
    "bash": "~/.bashrc loads it from now on",
    "zsh": "~/.zshrc, or oh-my-zsh, looks there from now on; it must call compinit",
    "fish": "fish finds it there by itself",
}


def install_completion(shell: Shell | None, output: Path | None) -> int:
    """Write the shell's script, and let its start-up file load it.

    Raises:
        UsageError: nobody says which shell it is, or it is one that is not known, or the script can't be
            written.
    """
    from prefect_trackrecord.cli.root import app

    shell = shell or _own_shell()
    try:
        place = app.install_completion(shell=shell, output=output)
    except OSError as exc:
        raise UsageError(f"{exc.filename or output} can't be written: {exc.strerror or exc}") from None
    say(str(place))
    note(f"{shell} completes trackrecord's commands and options once it is started anew: {_NEXT[shell]}")
    return 0


def _own_shell() -> Shell:
    """The shell that is in use, where the person's own (SHELL) is one that is known: a script's shell tells nothing."""
    own = os.path.basename(os.environ.get("SHELL", ""))
    if own not in KNOWN:
        said = f"the shell {own} is not known" if own else "SHELL does not say which shell it is"
        raise UsageError(
            f"{said}; completion is there for {', '.join(KNOWN)}: "
            f"trackrecord --install-completion --shell {KNOWN[0]} names one"
        )
    from cyclopts.completion.detect import ShellDetectionError, detect_shell

    try:
        used = detect_shell()
    except ShellDetectionError:
        used = None
    return used if used in KNOWN else own
