"""Callbacks of a batch of files: who processes them says what happens, handlers hear of it."""

from __future__ import annotations

from prefect_trackrecord.callbacks.command import track_command
from prefect_trackrecord.callbacks.command_run import CommandRun, command_callbacks
from prefect_trackrecord.callbacks.handler import BatchEvent, CallbackHandler, FileEvent
from prefect_trackrecord.callbacks.manager import BatchCallbackManager, CallbackManager
from prefect_trackrecord.callbacks.stdout import StdOutCallbackHandler
from prefect_trackrecord.callbacks.to_tracker import TrackerCallbackHandler

__all__ = [
    "BatchCallbackManager",
    "BatchEvent",
    "CallbackHandler",
    "CallbackManager",
    "CommandRun",
    "FileEvent",
    "StdOutCallbackHandler",
    "TrackerCallbackHandler",
    "command_callbacks",
    "track_command",
]
