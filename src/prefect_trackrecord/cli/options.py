"""The options that most commands have."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

Storage = Annotated[
    str | None,
    Parameter(
        help="A folder, a URL such as s3://bucket/path, or trackrecord-storage/<block name>. Where left out: "
        "TRACKING_PATH, then the setting PREFECT_INTEGRATIONS_TRACKRECORD_STORAGE, then a folder under the Prefect "
        "home, just as where flows are tracked."
    ),
]
Json = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON, with every field.")]
