"""For tests of users. Importing it imports neither pytest nor prefect."""

from prefect_trackrecord.testing.store_contract import StoreContract

__all__ = ["StoreContract"]
