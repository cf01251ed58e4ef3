"""The delivery report, for deployments from this repository; the same flow as in the installed package."""

from prefect_trackrecord.flows import delivery_report

__all__ = ["delivery_report"]

if __name__ == "__main__":
    delivery_report()
