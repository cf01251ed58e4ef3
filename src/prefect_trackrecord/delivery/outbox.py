"""The outbox: a mail per recipient as an `.eml` file, which any mail program opens."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from prefect_trackrecord.documents.layout import safe_part
from prefect_trackrecord.errors import DeliveryError


def outbox_name(report: str, period: str, address: str) -> str:
    """The file's name, from checked parts: the same report, period and recipient give the same."""
    return f"{safe_part(report)}-{safe_part(period)}-{safe_part(address)}.eml"


def keep(folder: Path, name: str, message: bytes) -> Path:
    """Write the mail into the folder, whole or not at all, and return where it is.

    Raises:
        DeliveryError: it can't be written.
    """
    path = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(prefix=".part-", dir=folder)
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(message)
                out.flush()
                os.fsync(out.fileno())
            os.replace(part, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(part)
            raise
    except OSError as exc:
        raise DeliveryError(f"the outbox {folder} can't be written: {exc.strerror or exc}") from None
    return path
