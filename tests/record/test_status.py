"""Statuses: texts with colours and categories, and the field of a record that holds one."""

from __future__ import annotations

import pickle
from typing import Annotated

import pytest
from pydantic import ValidationError

from prefect_trackrecord.record import RecordStatus, Status, ThoughtfulRecord
from prefect_trackrecord.record.status import CATEGORIES

COLORS = {
    "EMPTY": ("Empty", "white"), "SUCCESS": ("Success", "limegreen"), "EXCEPTION": ("Exception", "crimson"),
    "WARNING": ("Warning", "gold"), "PENDING": ("Pending", "deepskyblue"), "RUNNING": ("Running", "dodgerblue"),
    "SKIPPED": ("Skipped", "lightgrey"), "FAILED": ("Failed", "firebrick"), "COMPLETED": ("Completed", "seagreen"),
    "IN_PROGRESS": ("In Progress", "cornflowerblue"), "CANCELLED": ("Cancelled", "darkorange"),
    "RETRYING": ("Retrying", "violet"), "TIMEOUT": ("Timeout", "orangered"), "STALE": ("Stale", "darkgray"),
    "AWAITING_REVIEW": ("Awaiting Review", "mediumslateblue"), "APPROVED": ("Approved", "mediumseagreen"),
    "REJECTED": ("Rejected", "indianred"), "ON_HOLD": ("On Hold", "khaki"),
    "RESTARTED": ("Restarted", "mediumvioletred"),
}  # fmt: skip


def test_the_nineteen_constants_are_the_seeds():
    found = {n: (str(v), v.color) for n, v in vars(Status).items() if isinstance(v, RecordStatus)}
    assert found == COLORS
    assert {v.category for v in vars(Status).values() if isinstance(v, RecordStatus)} == set(CATEGORIES)


def test_a_status_is_a_text():
    assert Status.RUNNING == "Running"
    assert RecordStatus("Running", "red") == Status.RUNNING
    assert repr(RecordStatus("x")) == "RecordStatus('x', color='transparent')"
    assert f"{Status.ON_HOLD}" == "On Hold"
    again = pickle.loads(pickle.dumps(RecordStatus("Mine", "#123456", "warning")))
    assert (again, again.color, again.category) == ("Mine", "#123456", "warning")
    with pytest.raises(ValueError, match="category must be one of"):
        RecordStatus("x", category="nice")


def test_one_field_under_any_name_may_hold_it():
    class Claim(ThoughtfulRecord):
        state: RecordStatus | None = None

    class Call(ThoughtfulRecord):
        outcome: Annotated[RecordStatus, "any"] = ""

    class Note(ThoughtfulRecord):
        text: str = ""

    claim = Claim(id="1")
    assert claim.state is None
    claim.state = "Failed"
    assert (claim.state, claim.state.color) == ("Failed", "firebrick")
    claim.state = "of my own"
    assert claim.state.color == "transparent"
    claim.state = None
    assert isinstance(Call(id="2").outcome, RecordStatus)
    assert Note(id="3").text == ""
    with pytest.raises(ValidationError):
        claim.state = 3


def test_two_status_fields_are_refused():
    class Twice(ThoughtfulRecord):
        one: RecordStatus = ""
        two: RecordStatus | None = None

    with pytest.raises(ValidationError, match="one, two"):
        Twice(id="1")


def test_a_class_made_inside_a_function_with_late_annotations_is_understood():
    namespace: dict = {}
    exec(  # the annotation's name is defined after the class
        "from __future__ import annotations\n"
        "from prefect_trackrecord.record import ThoughtfulRecord\n"
        "class Late(ThoughtfulRecord):\n    status: 'RecordStatus' = ''\n"
        "from prefect_trackrecord.record import RecordStatus\n"
        "Late.model_rebuild(_types_namespace={'RecordStatus': RecordStatus})\n",
        namespace,
    )
    late = namespace["Late"](id="1")
    late.status = "Running"
    assert late.status.color == "dodgerblue"
