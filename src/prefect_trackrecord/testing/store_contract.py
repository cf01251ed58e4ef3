"""What every store must do, as a class of tests to inherit from.

pytest is imported inside the tests only, so that this module can be imported without it.
"""

from __future__ import annotations

from prefect_trackrecord.testing._contract_files import FileTests
from prefect_trackrecord.testing._contract_many import ManyTests
from prefect_trackrecord.testing._contract_objects import ObjectTests


class StoreContract(ObjectTests, ManyTests, FileTests):
    """The tests that every `Store` passes.

    Inherit from it in a test module and give it a fixture named `store`, an empty store for each test::

        class TestMyStore(StoreContract):
            @pytest.fixture
            def store(self, tmp_path):
                return MyStore(tmp_path)

    Attributes:
        threads: how many write at once in the tests of exclusive create.
        rounds: how often they do.
    """

    threads = 16
    rounds = 20
