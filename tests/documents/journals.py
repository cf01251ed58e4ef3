"""Journals made from a seed: of all that a run can say, in any order, and of what kills, disks and strangers leave."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from typing import Any

import orjson

from prefect_trackrecord import events as ev

T0 = datetime(2026, 1, 2, 3, tzinfo=timezone.utc)
TEXTS = (
    *("", "a", "row 17 is bad", "can't read 0x7f", "é\u2028\x7f", 'a\nb\tc"d\\e', "\0\x1f", "😀" * 3, "x" * 600),
    *("null", "http://a.example/1?x=2", "{}\n{}", "\x01", "\0"),
)
ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 7, 1.0, 1.5, 1e300, 2**53, 2**63, -(2**60), "", "7", [], {}, [1], {"a": None}, [{}]),
)
FIELDS = (
    *("file_type", "agent_id", "error_type", "error_message", "processing_time_ms", "output_path", "reason"),
    *("task_name", "task_run_id", "started_at", "ended_at", "attempts", "traceback", "error_fingerprint", "metrics"),
    *("run_id", "schema_version", "later", "kind"),
)


class Journal:
    """One journal.

    Args:
        seed: equal seeds make equal journals.
        tame: only what this package writes, whole.

    Attributes:
        segments: by name, as bytes.
    """

    def __init__(self, seed: int, *, tame: bool = False) -> None:
        self.random = random.Random(seed)
        self.tame = tame
        self.many = self.random.choice([1, 3, 12, 1000])  # how seldom a path comes again
        self.kinds = self.random.choice([("plain",), ("plain", "task"), ("task",), ("plain", "task", "other", "odd")])
        self.calls = 0
        self.segments = {f"host-{n}-0.ndjson": self.segment(n) for n in range(self.random.randint(1, 4))}

    def segment(self, number: int) -> bytes:
        lines = [ev.encode(ev.WriterOpened(T0, "elsewhere", "", 1, number))]
        if self.random.random() < 0.7:
            lines.append(ev.encode(ev.RunStarted(at=self.at(), run={"command": "c", "run_count": number or 1})))
        for _ in range(self.random.choice([0, 1, 5, 40])):
            lines += self.told()
        if self.random.random() < 0.7:
            lines.append(ev.encode(ev.RunEnded(at=self.at(), run_count=self.random.choice([None, 1, 2]))))
        if self.random.random() < 0.3:
            self.random.shuffle(lines)
        if self.tame:
            return b"".join(lines)
        return b"".join(self.spoiled(line) for line in lines) + self.random.choice([b"", b'{"kind":"file","at":'])

    def at(self) -> datetime:
        moment = T0 + timedelta(milliseconds=self.random.randrange(100_000))
        if self.random.random() < 0.2:
            moment = moment.replace(microsecond=0)
        return moment.astimezone(timezone(timedelta(hours=2))) if self.random.random() < 0.1 else moment

    def told(self) -> list[bytes]:
        kind = self.random.choice(self.kinds)
        if kind == "plain":
            row = self.outcome()
            return [ev.encode_file(self.at(), row) if self.random.random() < 0.8 else self.file(row)]
        if kind == "task":
            return self.task()
        if kind == "odd":
            row = self.outcome()
            for name in self.random.sample(FIELDS, self.random.randint(1, 3)):
                row[name] = self.random.choice((*ODD, *TEXTS, [{"status": "failed", "x": 1}], {"m": 1.5e16, "n": 2}))
            return [self.file(row, item=self.random.choice([None, None, "t\0p"]), turn=self.random.choice([1, 1, 2]))]
        return [ev.encode(self.other())]

    def file(self, row: dict[str, Any], **more: Any) -> bytes:
        return ev.encode(ev.FileTracked(at=self.at(), row=row, **more))

    def outcome(self) -> dict[str, Any]:
        pick = self.random.random
        status = self.random.choice(["success", "success", "failed", "skipped"])
        row: dict[str, Any] = {"file_path": f"/in/{self.random.randrange(self.many)}.csv", "status": status}
        if pick() < 0.5:
            row["file_type"] = self.random.choice(["csv", "csv", "", "é"])
        if pick() < 0.1:
            row["agent_id"] = "A"
        if status == "failed":
            row |= {"error_type": self.random.choice(["E", "F"]), "error_message": self.random.choice(TEXTS)}
        if pick() < 0.1:
            row["traceback"] = f'  File "a.py", line {self.random.randrange(9)}, in f\n    x\nE: m'
        if pick() < 0.7:
            row["processing_time_ms"] = self.random.randrange(50)
        if pick() < 0.2:
            row["started_at"] = self.at()
        row["ended_at"] = self.at()
        if pick() < 0.1:
            row["metrics"] = {"rows": self.random.choice([1, 2.5, 0.0, 1e-7])}
        return row

    def task(self) -> list[bytes]:
        """A tracked task's call: it begins, and most often ends; sometimes it is told again, or out of turn."""
        which, turn = self.random.randrange(self.many), self.random.choice([1, 1, 2])
        self.calls += 1
        item, task_run = f"pkg.task-ab12\0/in/{which}", f"task-run-{self.calls}"
        fields = {"task_name": "t", "task_run_id": task_run, "task_run_name": f"t-{which}", "started_at": self.at()}
        row = {**fields, "file_path": f"/in/{which}", "file_type": None, "agent_id": None}
        begun = ev.encode(ev.FileStarted(at=self.at(), row=row, item=item, turn=turn))
        tries = [{"started_at": self.at(), "status": "failed", "ended_at": self.at(), "error_type": "E"}]
        tries += [{"started_at": self.at(), "status": "success", "ended_at": self.at()}]
        came = {**self.outcome(), **row, "attempts": tries[: self.random.randint(0, 2)], "ended_at": self.at()}
        lines = [begun, self.file(came, item=item, turn=turn)]
        if self.random.random() < 0.1:
            lines.pop()
        if self.random.random() < 0.1:
            lines.append(self.file({**came, "status": "skipped"}, item=item, turn=turn + 1))
        if self.random.random() < 0.1:
            guess = {"file_path": f"t-{which}", "status": "skipped", "task_run_id": task_run, "reason": "why"}
            lines.append(ev.encode(ev.FileInferred(at=self.at(), row=guess, item=None, turn=turn)))
        return lines[:: self.random.choice([1, 1, 1, -1])]

    def other(self) -> ev.Event:
        at, which = self.at(), self.random.randrange(self.many)
        rows = [{"file_path": f"/in/{which}.csv", "status": "failed", "error_message": "row 7"}]
        rows += [{"file_path": "saved", "status": "success", "file_type": "csv", "schema_version": 1, "odd": 1}]
        mails = [{"email": "x@y.example", "status": self.random.choice(["sent", "failed"])}]
        saved = {"run_id": "r", "command": "s", "started_at": "2026-01-01T00:00:00", "tags": ["t"]}
        return self.random.choice(
            [
                ev.MetricTracked(at=at, name="n", value=self.random.random(), file=f"/in/{which}.csv"),
                ev.MetricTracked(at=at, name="n", value=3),
                ev.EmailTracked(at=at, row=mails[0]),
                ev.TrackingFailed(at=at, cause="disk full", lost=self.random.randrange(2)),
                ev.RunUpdated(at=at, run={"flow_run_name": f"r{which}"}),
                ev.DocumentSaved(at=at, document="files", value=rows[: self.random.randint(0, 2)]),
                ev.DocumentSaved(at=at, document="emails", value=mails),
                ev.DocumentSaved(at=at, document="run", value=saved),
                ev.RecordChanged(at, "p", "id", "T", "created", {}),
            ]
        )

    def spoiled(self, line: bytes) -> bytes:
        """The line as it may have come to lie in the file."""
        if self.random.random() > 0.08:
            return line
        body = orjson.loads(line)
        cut = self.random.randrange(1, len(line))
        return self.random.choice(
            [
                line[:cut] + b"\n",
                line[:cut] + self.file(self.outcome()),  # a full disk took the rest, and the newline
                line[:-1] + self.file(self.outcome()),
                b"\n" + line,
                self.random.randbytes(30).replace(b"\n", b"") + b"\n" + line,
                line.replace(b'"', b'"\xff', 7),
                line.replace(b":", b" : ").replace(b",", b" ,"),
                line.replace(b'"status":', b'"status":\n', 1),  # half a value in each of two lines
                line.replace(b"{", b'{"kind":"file","status":"failed",', 1),
                line.replace(b"}", b',"file_path":"twice"}', 1),
                orjson.dumps({"at": body.pop("at"), **body}) + b"\n",  # `kind` is not first
                orjson.dumps({**body, "later": 1}) + b"\n",
                orjson.dumps({**body, "item": self.random.choice(ODD), "turn": self.random.choice(ODD)}) + b"\n",
                orjson.dumps({**body, "at": self.random.choice(["2026-01-02", "2026-01-02T00:00:00Z", "", 7])}) + b"\n",
                b'{"kind":"news","at":"2026-01-02T00:00:00+00:00"}\n',
                b"null\n",
            ]
        )
