"""Our own clients of Prefect's API: one for each process, made anew after an error."""

from __future__ import annotations

import pytest

from prefect_trackrecord._prefect import clients

pytestmark = pytest.mark.prefect


def test_one_is_kept_until_it_fails():
    with clients.kept() as first:
        assert first.hello().status_code == 200
    with clients.kept() as second:
        assert second is first
    with pytest.raises(ConnectionError), clients.kept():
        raise ConnectionError
    with clients.kept() as third:
        assert third is not first
        assert third.hello().status_code == 200
