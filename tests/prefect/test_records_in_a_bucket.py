"""Records of a tracked flow whose history is in a bucket: several task processes write, the bucket has it all."""

from __future__ import annotations

import json
import os

from prefect import flow, task
from prefect.task_runners import ProcessPoolTaskRunner

from prefect_trackrecord import RecordStatus, Status, ThoughtfulRecord, load_records, settings, track
from prefect_trackrecord.tracking import TrackingStorage

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


class Claim(ThoughtfulRecord):
    amount: int = 0
    state: RecordStatus = Status.PENDING


@track(record="claim")
@task
def settle(claim: Claim) -> int:
    claim.amount += 7
    claim.log_trace("settled", image=PNG)
    Claim(id="shared").log_trace(f"seen beside {claim.id}")
    return os.getpid()


@track
@flow(name="settling", task_runner=ProcessPoolTaskRunner(max_workers=2))
def settling(names):
    Claim(id="of the flow").log_trace("begun")
    return [future.result() for future in [settle.submit(Claim(id=name)) for name in names]]


def test_records_of_several_processes_reach_the_bucket(s3_server, bucket, monkeypatch):
    for name, value in (
        ("AWS_ENDPOINT_URL_S3", s3_server.endpoint), ("AWS_ACCESS_KEY_ID", "testing-key"),
        ("AWS_SECRET_ACCESS_KEY", "testing-secret"), ("AWS_DEFAULT_REGION", "us-east-1"),
        ("TRACKING_PATH", f"s3://{bucket}/history"), ("TRACKRECORD_STORE_DEADLINE", "60"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    settings.current.cache_clear()
    names = [f"claim-{n}" for n in range(4)]
    processes = settling(names)
    assert os.getpid() not in processes

    storage = TrackingStorage()
    (run,) = storage.list_runs()
    fs = s3_server.filesystem()
    folder = f"{bucket}/history/records/settling/{run.run_id}"
    data = json.loads(fs.cat_file(f"{folder}/records_logs.json"))["data"]
    assert set(data) == {*names, "of the flow", "shared"}
    assert len(data["shared"]["traces"]) == 1 + len(names)
    for name in names:
        assert data[name]["status"] == str(Status.COMPLETED)
        assert json.loads(data[name]["record"])["amount"] == 7
        assert [t["action"] for t in data[name]["traces"]].count("settled") == 1
    assert b"of the flow" in fs.cat_file(f"{folder}/records_report.html")
    assert [fs.cat_file(path) for path in fs.ls(f"{folder}/images")] == [PNG]

    found = load_records(f"s3://{bucket}/history/records", "settling", run.run_id)
    assert {r.record_id for r in found} == set(data)
