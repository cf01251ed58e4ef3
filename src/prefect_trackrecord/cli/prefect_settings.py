"""Tells of a setting of Prefect's that is wrong: Prefect then can't be imported at all."""

from __future__ import annotations

import os
import re
import traceback

from pydantic import ValidationError

from prefect_trackrecord.errors import ConfigurationError
from prefect_trackrecord.journal.printable import printable

WAY_OUT = "mend it in the environment, prefect.toml, pyproject.toml or the profile"
_READERS = (f"{os.sep}prefect{os.sep}settings{os.sep}", f"{os.sep}pydantic_settings{os.sep}")


def wrong_setting(error: BaseException) -> ConfigurationError | None:
    """What is wrong with Prefect's settings; None for an error that did not come of reading them."""
    frames = traceback.extract_tb(error.__traceback__)
    if not any(reader in frame.filename for frame in frames for reader in _READERS):
        return None
    if not isinstance(error, ValidationError):
        return ConfigurationError(f"Prefect can't read its settings: {printable(f'{type(error).__name__}: {error}')}")
    found = error.errors(include_url=False, include_context=False)
    found = [one for one in found if one["type"] != "default_factory_not_called"] or found  # of another's fault
    said = []
    for one in found:
        words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", error.title.removesuffix("Settings"))
        name = "_".join(filter(None, ("PREFECT", words, *map(str, one["loc"])))).upper()
        said.append(f"{name}: {one['msg']}")
    return ConfigurationError(f"Prefect can't read its settings: {printable('; '.join(said))}")
