"""The flows that serve the others, for deployments: the delivery report, recovery, and alerts.

In a `prefect.yaml` the entrypoint is `prefect_trackrecord.flows.delivery_report`; no file of one's own is needed.
"""

from prefect_trackrecord._prefect.flows import delivery_report
from prefect_trackrecord._prefect.recover_flow import recover_runs
from prefect_trackrecord._prefect.watching import alert_on_run, watch_flows

__all__ = ["alert_on_run", "delivery_report", "recover_runs", "watch_flows"]
