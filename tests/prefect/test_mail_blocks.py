"""Blocks that a delivery names: prefect-email's credentials become a mail server, notification blocks are told."""

from __future__ import annotations

from typing import Any

import pytest
from prefect import flow
from prefect.blocks.notifications import NotificationBlock
from pydantic import SecretStr

from prefect_trackrecord.delivery import SmtpConfig, parse_config, smtp_server
from prefect_trackrecord.delivery.channels import Note, notify_all
from prefect_trackrecord.delivery.server import load_block, mail_server, sender_of
from prefect_trackrecord.errors import ConfigurationError

prefect_email = pytest.importorskip("prefect_email")
TOLD: list[tuple[str, str | None]] = []


class Pinboard(NotificationBlock):
    """A notification block that keeps what it is told."""

    _block_type_name = "Pinboard"

    def notify(self, body: str, subject: str | None = None) -> None:
        TOLD.append((body, subject))


def save(name: str, **fields: Any) -> None:
    block = prefect_email.EmailServerCredentials(
        username="reports@example.com", password=SecretStr("hush"), smtp_server="mail.example.com", **fields
    )
    block.save(name, overwrite=True)


@pytest.mark.prefect
def test_credentials_become_a_mail_server() -> None:
    save("prod", smtp_type="STARTTLS", smtp_port=2525)
    config = parse_config({"recipients": "a@example.com", "smtp": {"block": "email-server-credentials/prod"}})
    server = mail_server(config)
    assert server is not None
    assert (server.host, server.port, server.security) == ("mail.example.com", 2525, "starttls")
    assert (server.username, server.password, server.verify) == ("reports@example.com", "hush", True)
    assert sender_of(config, server).email == "reports@example.com"
    assert "hush" not in repr(server)


@pytest.mark.prefect
@pytest.mark.parametrize(("kind", "security", "port"), [("SSL", "ssl", 465), ("INSECURE", "none", 25)])
def test_each_kind_and_what_is_given_beside_the_block_wins(kind: str, security: str, port: int) -> None:
    save("kinds", smtp_type=kind)
    block = "email-server-credentials/kinds"
    server = smtp_server(SmtpConfig(block=block))
    assert (server.security, server.port) == (security, port)
    assert smtp_server(SmtpConfig(block=block, port=99, verify=False, timeout=3)).port == 99


@pytest.mark.prefect
def test_what_is_not_there_or_cannot_notify() -> None:
    with pytest.raises(ConfigurationError, match="can't be loaded"):
        load_block("email-server-credentials/no-such-block")
    from prefect.blocks.system import Secret

    Secret(value="x").save("silent", overwrite=True)
    with pytest.raises(ConfigurationError, match="has no notify"):
        load_block("secret/silent")


@pytest.mark.prefect
def test_a_notification_block_is_told_from_a_flow_too() -> None:
    from datetime import datetime, timezone

    Pinboard().save("ops", overwrite=True)
    now = datetime.now(timezone.utc)
    channels = {"pinboard/ops": load_block("pinboard/ops")}

    @flow
    async def telling() -> list[str]:
        return [r.status for r in notify_all(channels, Note("subject", "body"), now=now)]

    import asyncio

    TOLD.clear()
    assert asyncio.run(telling()) == ["sent"]
    assert [r.status for r in notify_all(channels, Note("subject", "body"), now=now)] == ["sent"]
    assert TOLD == [("body", "subject")] * 2
