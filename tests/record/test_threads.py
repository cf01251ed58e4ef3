"""Records while threads configure tracing and end runs, in signal handlers, and as the interpreter ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from prefect_trackrecord.record import (
    ThoughtfulRecord,
    configure_records_tracing,
    dump_records,
    images,
    load_records,
    publish,
    state,
)
from prefect_trackrecord.record import output as outputs
from prefect_trackrecord.record import recorder as recorders
from prefect_trackrecord.record.tracing import tracing
from prefect_trackrecord.tracking import RunTracker


class Invoice(ThoughtfulRecord):
    total: int = 0


def actions(run, record: str) -> list[str]:
    document = json.loads((run / "records_logs.json").read_text())
    return [trace["action"] for trace in document["data"][record]["traces"]]


def child(code: str) -> None:
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_record_that_begins_just_as_tracing_is_configured(folder, run, monkeypatch):
    at, go, real = threading.Event(), threading.Event(), recorders.snapshot

    def slow(*given, **more):
        if threading.current_thread() is not threading.main_thread():
            at.set()
            assert go.wait(10)
        return real(*given, **more)

    monkeypatch.setattr(recorders, "snapshot", slow)
    other = threading.Thread(target=Invoice, kwargs={"id": "one"})
    other.start()
    assert at.wait(10)
    configuring = threading.Thread(target=configure_records_tracing, args=(folder,))
    configuring.start()
    go.set()
    other.join(10)
    configuring.join(10)
    dump_records()
    assert actions(run, "one") == ["Initialize record"]


def test_a_picture_that_is_kept_just_as_tracing_is_configured(folder, run, png, monkeypatch):
    record = Invoice(id="one")
    record.log_trace("before", image=png)
    limbo, real, at = tracing.limbo, images.put_back, threading.Event()

    def slow(*given):
        if threading.current_thread() is not other:
            at.set()
            other.join(0.5)  # it may have to wait for us
        return real(*given)

    def during():
        assert at.wait(10)
        limbo.trace(record, "during", "", png + b"another one")

    other = threading.Thread(target=during)
    other.start()
    monkeypatch.setattr(images, "put_back", slow)
    configure_records_tracing(folder)
    other.join(10)
    dump_records()
    assert actions(run, "one") == ["Initialize record", "before", "during"]
    assert len(list((run / images.FOLDER).iterdir())) == 2


def test_a_signal_handler_traces_while_a_document_is_made(folder, run, monkeypatch):
    configure_records_tracing(folder)
    records = [Invoice(id=str(n)) for n in range(3)]
    real, made = state.story_of, []

    def story(entry):
        if len(made) == 1:  # the first record's part is made already
            os.kill(os.getpid(), signal.SIGUSR1)
        made.append(entry)
        return real(entry)

    monkeypatch.setattr(state, "story_of", story)
    before = signal.signal(signal.SIGUSR1, lambda *_: records[0].log_trace("told by a signal"))
    try:
        dump_records()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert actions(run, "0") == ["Initialize record", "told by a signal"]
    tracing.reset()
    first = next(entry for entry in load_records(folder) if entry.record_id == "0")
    assert [trace.action for trace in first.traces] == ["Initialize record", "told by a signal"], "and once only"


def test_a_signal_handler_dumps_while_a_document_is_made(folder, run):
    """It would wait for ever for what it has stopped."""
    child(f"""
        import os, signal
        from prefect_trackrecord.record import ThoughtfulRecord, configure_records_tracing, document, dump_records
        class Invoice(ThoughtfulRecord):
            total: int = 0
        configure_records_tracing({str(folder)!r})
        record, real, told = Invoice(id="one"), document.compose, []
        def compose(*given):
            if not told:
                told.append(os.kill(os.getpid(), signal.SIGUSR1))
            return real(*given)
        def handler(*_):
            record.log_trace("told by a signal")
            dump_records()
        document.compose = compose
        signal.signal(signal.SIGUSR1, handler)
        dump_records()
    """)
    assert actions(run, "one") == ["Initialize record", "told by a signal"]


def test_a_dump_as_the_interpreter_ends(folder, run):
    child(f"""
        from prefect_trackrecord.record import ThoughtfulRecord, configure_records_tracing, dump_records
        from prefect_trackrecord.record import output
        output.threading.Thread.start = lambda thread: exec('raise RuntimeError("at interpreter shutdown")')
        class Invoice(ThoughtfulRecord):
            total: int = 0
        configure_records_tracing({str(folder)!r})
        record = Invoice(id="one")
        dump_records()
        record.log_trace("at the end")
        dump_records()
        import os
        os._exit(0)
    """)
    assert actions(run, "one") == ["Initialize record", "at the end"]
    assert "at the end" in (run / "records_report.html").read_text()


def test_the_end_of_a_run_removes_nothing_under_a_thread_that_traces(monkeypatch, tmp_path):
    monkeypatch.setenv("TRACKRECORD_SPOOL", str(tmp_path / "spool"))
    tracker = RunTracker("command", storage="memory://under-a-thread")
    tracker.start()
    record = Invoice(id="one")
    (output,) = tracing.outputs.values()
    assert output.send()
    real, begun = publish.shutil.rmtree, threading.Event()
    late = threading.Thread(target=lambda: (begun.set(), output.recorder.trace(record, "late", "", None)))

    def slow(*given, **more):
        late.start()
        assert begun.wait(10)
        late.join(0.3)  # it has to wait for us
        return real(*given, **more)

    with monkeypatch.context() as patched:
        patched.setattr(publish.shutil, "rmtree", slow)
        assert output.publisher.leave(output, tracing.alone(output))
    late.join(10)
    kept = [path.read_text() for journal in output.folder.journals for path in journal.glob("*.ndjson")]
    assert sum("late" in text for text in kept) == 1
    tracker.complete()


@pytest.mark.parametrize("times", [1, 50])
def test_a_handler_that_tells_without_end_holds_up_no_document(folder, run, monkeypatch, times):
    configure_records_tracing(folder)
    record, real = Invoice(id="one"), state.RunRecords.parts
    left = [times]

    def parts(self):
        found = real(self)
        if left[0]:
            left[0] -= 1
            record.log_trace("again")
        return found

    monkeypatch.setattr(state.RunRecords, "parts", parts)
    dump_records()
    assert 1 <= actions(run, "one").count("again") <= times


@pytest.mark.parametrize("at", ["the journal", "the state"])
def test_an_interruption_in_the_middle_of_a_trace(folder, run, monkeypatch, at):
    """What the journal has by then is in the document, too."""
    configure_records_tracing(folder)
    record = Invoice(id="one")
    dump_records()
    recorder, write = tracing.fixed.recorder, tracing.fixed.recorder._writer.write

    def interrupted(*given):
        if at == "the journal":
            write(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if at == "the journal":
            patched.setattr(recorder._writer, "write", interrupted)
        else:
            patched.setattr(recorder.state, "happened", interrupted)
        with pytest.raises(KeyboardInterrupt):
            record.log_trace("interrupted")
    record.log_trace("afterwards")
    dump_records()
    assert actions(run, "one") == ["Initialize record", "interrupted", "afterwards"]
    tracing.reset()
    (entry,) = load_records(folder)
    assert [trace.action for trace in entry.traces] == ["Initialize record", "interrupted", "afterwards"]


def overtake(older, at, go, record, newer):
    """Let the older thread come so far, then trace and do the newer work, which may have to wait for it."""
    older.start()
    assert at.wait(10)
    record.log_trace("last")
    thread = threading.Thread(target=newer)
    thread.start()
    thread.join(0.5)
    go.set()
    older.join(10)
    thread.join(10)


def test_an_older_page_is_not_put_over_a_newer_one(folder, run, monkeypatch):
    configure_records_tracing(folder)
    record = Invoice(id="one")
    output, real, at, go = tracing.output(), outputs.render, threading.Event(), threading.Event()

    def slow(*given):
        pages = list(real(*given))
        if threading.current_thread() is older:
            at.set()
            assert go.wait(10)
        return pages

    monkeypatch.setattr(outputs, "render", slow)
    older = threading.Thread(target=output._write_page)
    overtake(older, at, go, record, output.finish)
    assert "last" in (run / "records_report.html").read_text()


def test_a_run_that_goes_on_while_it_is_let_go_of(monkeypatch, tmp_path):
    monkeypatch.setenv("TRACKRECORD_SPOOL", str(tmp_path / "spool"))
    tracker = RunTracker("command", storage="memory://goes-on")
    tracker.start()
    record = Invoice(id="one")
    (old,) = tracing.outputs.values()
    assert old.send()
    tracing.drop(old)
    record.log_trace("goes on")
    (new,) = tracing.outputs.values()
    assert new is not old
    assert not old.publisher.leave(old, tracing.alone(old))
    record.log_trace("still")
    kept = "".join(path.read_text() for journal in new.folder.journals for path in journal.glob("*.ndjson"))
    assert ("goes on" in kept, "still" in kept) == (True, True)
    tracker.complete()


def test_two_that_publish_a_run(monkeypatch, tmp_path):
    monkeypatch.setenv("TRACKRECORD_SPOOL", str(tmp_path / "spool"))
    tracker = RunTracker("command", storage="memory://published-twice")
    tracker.start()
    record = Invoice(id="one")
    (output,) = tracing.outputs.values()
    store, at, go = output.publisher.store, threading.Event(), threading.Event()
    real = type(store).put

    def slow(self, key, data, *more):
        if threading.current_thread() is older and key.endswith("records_logs.json") and not at.is_set():
            at.set()
            assert go.wait(10)
        return real(self, key, data, *more)

    monkeypatch.setattr(type(store), "put", slow)
    older = threading.Thread(target=output.publish)
    overtake(older, at, go, record, output.publish)
    assert b"last" in store.get(f"{output.publisher.prefix}/records_logs.json").data
    tracker.complete()


def test_a_signal_handler_publishes_while_its_thread_publishes(tmp_path):
    child(f"""
        import os, signal
        os.environ["TRACKRECORD_SPOOL"] = {str(tmp_path)!r}
        from prefect_trackrecord import RunTracker
        from prefect_trackrecord.record import ThoughtfulRecord
        from prefect_trackrecord.record.tracing import tracing
        class Invoice(ThoughtfulRecord):
            total: int = 0
        with RunTracker("command", storage="memory://twice"):
            Invoice(id="one")
            (output,) = tracing.outputs.values()
            store, real, told = output.publisher.store, type(output.publisher.store).put, []
            def put(self, key, data, *more):
                if not told:
                    told.append("once")
                    os.kill(os.getpid(), signal.SIGUSR1)
                return real(self, key, data, *more)
            type(store).put = put
            inner = []
            signal.signal(signal.SIGUSR1, lambda *_: inner.append(output.publish()))
            assert output.publish() and inner == [True], output.recorder.failed
    """)
