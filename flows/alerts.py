"""The flows that alert, for deployments from this repository; the same as in the installed package."""

from prefect_trackrecord.flows import alert_on_run, watch_flows

__all__ = ["alert_on_run", "watch_flows"]

if __name__ == "__main__":
    watch_flows()
