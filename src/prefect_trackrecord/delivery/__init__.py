"""Delivery of reports: configuration, message, SMTP, outbox, and the job that ties them."""

from prefect_trackrecord.delivery.address import Person, check_address
from prefect_trackrecord.delivery.alerts import alert_on, watch
from prefect_trackrecord.delivery.collecting import Collected, Expect, archive_of, build, collect
from prefect_trackrecord.delivery.config import Recipient, ReportConfig
from prefect_trackrecord.delivery.emails import Email, send_emails
from prefect_trackrecord.delivery.job import Stored, ledger_of, outbox_of, send, store
from prefect_trackrecord.delivery.ledger import Ledger
from prefect_trackrecord.delivery.loading import load_config, parse_config
from prefect_trackrecord.delivery.message import Attachment, Letter, build_message, message_id
from prefect_trackrecord.delivery.performing import DeliveryOutcome
from prefect_trackrecord.delivery.rendering import Rendered, render
from prefect_trackrecord.delivery.running import Prepared, prepare, run_delivery_report
from prefect_trackrecord.delivery.sections import SmtpConfig
from prefect_trackrecord.delivery.sender import deliver, everybody
from prefect_trackrecord.delivery.server import mail_server, smtp_server
from prefect_trackrecord.delivery.silences import Silence, silence, silences
from prefect_trackrecord.delivery.smtp import Mailer, Outcome, SmtpServer
from prefect_trackrecord.delivery.telling import Told

__all__ = [
    "Silence",
    "Told",
    "alert_on",
    "silence",
    "silences",
    "watch",
    "Attachment",
    "Collected",
    "DeliveryOutcome",
    "Email",
    "Expect",
    "Ledger",
    "Letter",
    "Mailer",
    "Outcome",
    "Person",
    "Prepared",
    "prepare",
    "Recipient",
    "Rendered",
    "ReportConfig",
    "SmtpConfig",
    "SmtpServer",
    "Stored",
    "archive_of",
    "build",
    "build_message",
    "check_address",
    "collect",
    "deliver",
    "everybody",
    "ledger_of",
    "load_config",
    "mail_server",
    "message_id",
    "outbox_of",
    "parse_config",
    "render",
    "run_delivery_report",
    "send",
    "send_emails",
    "smtp_server",
    "store",
]
