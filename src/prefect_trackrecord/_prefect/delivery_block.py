"""The block `trackrecord-delivery`: a delivery report's configuration, with its secrets, kept by Prefect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prefect.blocks.core import Block
from prefect.types import SecretDict
from pydantic import ConfigDict, Field, HttpUrl, SecretStr, model_validator

from prefect_trackrecord.delivery import ReportConfig, load_config, parse_config
from prefect_trackrecord.errors import ConfigFileError, ConfigurationError, StorageUrlError
from prefect_trackrecord.journal.plain import mask_text
from prefect_trackrecord.store import parse_url
from prefect_trackrecord.tracking.storage import BLOCK_PREFIX

DELIVERY_PREFIX = "trackrecord-delivery/"
_IN_CLEAR = (
    "holds a secret, and Prefect shows config in clear: credentials of the storage belong in storage_options, the mail "
    "server's password in smtp_password, a webhook's URL in a notification block whose name channels has"
)


class TrackRecordDelivery(Block):
    """What a delivery report says, and to whom: the keys of its YAML file, and apart from them what is secret.

    Name it where the report's flow or command takes a configuration: `config="trackrecord-delivery/BLOCK_NAME"`.

    Example:
        Load a stored configuration:
        ```python
        from prefect_trackrecord import TrackRecordDelivery

        config = TrackRecordDelivery.load("BLOCK_NAME").report_config()
        ```
    """

    _block_type_name = "Track Record Delivery"
    _block_type_slug = "trackrecord-delivery"
    _logo_url = HttpUrl(
        "https://raw.githubusercontent.com/PrefectHQ/prefect/420d0d6a78bb6df1fc18bcf188fdad43c1d22ea9"
        "/assets/block-logos/email.png"
    )
    _documentation_url = HttpUrl("https://docs.prefect.io/v3/concepts/blocks")
    _description = "A delivery report: which runs it is about, who gets it, and by which mail server."

    model_config = ConfigDict(hide_input_in_errors=True)  # or an error would show a password in the wrong place

    config: dict[str, Any] = Field(
        default=...,
        description="The report's configuration: the keys and values of its YAML file, without passwords, "
        "also in URLs: it is shown in clear.",
        examples=[{"title": "Delivery report", "recipients": [{"email": "ada@example.com"}]}],
        json_schema_extra={
            "default": {"title": "Delivery report", "recipients": []}
        },  # what Prefect's form begins with
    )
    smtp_password: SecretStr | None = Field(
        default=None, title="SMTP password", description="The password for smtp.username in the configuration."
    )
    storage_options: SecretDict | None = Field(
        default=None,
        title="Storage options",
        description="The storage options of the configuration's storage: keys, secrets, endpoints.",
    )

    @model_validator(mode="after")
    def _works(self) -> TrackRecordDelivery:
        smtp, storage = self.config.get("smtp"), self.config.get("storage")
        wrong = "storage_options" in self.config or (isinstance(smtp, Mapping) and "password" in smtp)
        if wrong:
            raise ValueError("passwords and storage_options belong in the block's own fields, where they are masked")
        if (where := next(_secrets(self.config), None)) is not None:  # first: other errors show what they are about
            raise ValueError(f"{where} {_IN_CLEAR}")
        try:
            if isinstance(storage, str) and not storage.startswith(BLOCK_PREFIX):
                parse_url(storage)
            self.report_config()
        except (ConfigFileError, StorageUrlError) as exc:
            raise ValueError(str(exc)) from None
        return self

    def report_config(self) -> ReportConfig:
        """The whole configuration, checked.

        Raises:
            ConfigFileError: something in it is wrong.
        """
        data = dict(self.config)
        if self.smtp_password is not None:
            smtp = data.get("smtp")
            data["smtp"] = {**(smtp if isinstance(smtp, Mapping) else {}), "password": self.smtp_password}
        if self.storage_options is not None and (options := self.storage_options.get_secret_value()):
            data["storage_options"] = dict(options)
        return parse_config(data, "the block's config")


def _secrets(value: Any, where: str = "") -> Iterator[str]:
    """The keys of a configuration whose texts hold what is masked elsewhere: URLs with a login, a token, a webhook."""
    if isinstance(value, str):
        if mask_text(value) != value:
            yield where
    elif isinstance(value, Mapping):
        for n, (key, one) in enumerate(value.items()):
            name = str(key)
            if mask_text(name) != name:
                yield f"key {n + 1} of {where or 'config'}"
            else:
                yield from _secrets(one, f"{where}.{name}" if where else name)
    elif isinstance(value, list | tuple):
        for n, one in enumerate(value):
            yield from _secrets(one, f"{where}[{n}]")


def report_config_of(config: Path | str | Mapping[str, Any]) -> ReportConfig:
    """A report's configuration as a flow is given it: a YAML file, a block's name, or its keys and values.

    Raises:
        ConfigurationError: it is not there, or something in it is wrong.
    """
    if isinstance(config, Mapping):
        return parse_config(dict(config), "the parameter config")
    if str(config).startswith(DELIVERY_PREFIX):
        return load_report_config(str(config))
    return load_config(config)


def load_report_config(name: str) -> ReportConfig:
    """What the block `trackrecord-delivery/<name>` says; from sync and async code alike.

    Raises:
        ConfigurationError: there is no such block, or Prefect can't be asked.
    """
    block_name = name.removeprefix(DELIVERY_PREFIX)
    try:
        block: Any = TrackRecordDelivery.load(block_name, _sync=True)  # type: ignore[call-arg]
    except Exception as exc:
        raise ConfigurationError(f"the block {DELIVERY_PREFIX}{block_name} can't be loaded: {exc}") from exc
    config: ReportConfig = block.report_config()
    return config
