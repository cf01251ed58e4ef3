"""Recovery, for deployments from this repository; the same flow as in the installed package."""

from prefect_trackrecord.flows import recover_runs

__all__ = ["recover_runs"]

if __name__ == "__main__":
    recover_runs()
