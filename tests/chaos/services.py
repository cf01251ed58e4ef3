"""The servers that the kill matrix needs, each in a process of its own on a free port: Prefect, S3, Azure, Dask.

Run as a script it is one of them: `python services.py s3 PORT` or `python services.py dask PORT`.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The account that every Azurite has; its key is public."""
HERE = Path(__file__).parent
CONTAINER = "chaos"


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Services:
    """Starts servers and ends them; sets this process's environment so that all children find them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self.dask_address = ""

    def start(self, stores: list[str], *, dask: bool, prefect: bool = True, api: str | None = None) -> None:
        """Start the servers of Prefect, of the stores and of Dask that are asked for.

        Args:
            stores: `s3`, `azure`; a folder needs no server.
            dask: whether a cluster is wanted.
            prefect: whether Prefect's API is.
            api: where that runs already.
        """
        # who is stopped from outside ends his servers, too: they have sessions of their own
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a background job: victims would inherit that
            signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.update(TRACKRECORD_SPOOL=str(self.folder / "spool"), TRACKRECORD_STORE_DEADLINE="15")
        os.environ["PREFECT_HOME"] = str(self.folder / "prefect")
        os.environ.update(PREFECT_LOGGING_TO_API_ENABLED="false", PREFECT_WORKER_QUERY_SECONDS="1", NO_COLOR="1")
        if api is not None:
            os.environ["PREFECT_API_URL"] = api
        elif prefect:
            self._prefect()
        if "s3" in stores:
            self._s3()
        if "azure" in stores:
            self._azure()
        if dask:
            port = free_port()
            self._run("dask", sys.executable, str(HERE / "services.py"), "dask", str(port))
            self.dask_address = f"tcp://127.0.0.1:{port}"
            self._listens(port)

    def stop(self) -> None:
        """End them, the last one first."""
        for process in reversed(self._processes):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in reversed(self._processes):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _prefect(self) -> None:
        port = free_port()
        os.environ.update(
            PREFECT_API_URL=f"http://127.0.0.1:{port}/api",
            PREFECT_SERVER_API_PORT=str(port),
            PREFECT_SERVER_ANALYTICS_ENABLED="false",
            PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE="200",
            PREFECT_CLI_PROMPT="false",
        )
        self._run("prefect", sys.executable, "-m", "prefect", "server", "start", "--port", str(port), "--no-ui")
        end = time.monotonic() + 400
        while True:
            try:
                urllib.request.urlopen(f"{os.environ['PREFECT_API_URL']}/health", timeout=2)
                return
            except OSError:
                assert time.monotonic() < end, "Prefect's server does not answer"
                time.sleep(0.3)

    def _s3(self) -> None:
        port = free_port()
        self._run("s3", sys.executable, str(HERE / "services.py"), "s3", str(port))
        self._listens(port)
        os.environ.update(
            AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}",
            AWS_ACCESS_KEY_ID="testing",
            AWS_SECRET_ACCESS_KEY="testing",
            AWS_DEFAULT_REGION="us-east-1",
        )
        import s3fs

        s3fs.S3FileSystem(skip_instance_cache=True).call_s3("create_bucket", Bucket=CONTAINER)

    def _azure(self) -> None:
        port = free_port()
        own = HERE.parents[1] / ".azurite" / "node_modules" / ".bin"  # where .ci/run puts it
        command = shutil.which("azurite-blob", path=f"{own}{os.pathsep}{os.environ.get('PATH', '')}")
        assert command, "azurite-blob is not installed (npm install --prefix .azurite azurite)"
        flags = ("--silent", "--inMemoryPersistence", "--skipApiVersionCheck", "--blobPort", str(port))
        self._run("azure", command, *flags)
        self._listens(port)
        parts = {
            "DefaultEndpointsProtocol": "http",
            "AccountName": "devstoreaccount1",
            "AccountKey": AZURITE_KEY,
            "BlobEndpoint": f"http://127.0.0.1:{port}/devstoreaccount1",
        }
        os.environ["AZURE_STORAGE_CONNECTION_STRING"] = "".join(f"{name}={value};" for name, value in parts.items())
        import adlfs

        fs = adlfs.AzureBlobFileSystem(
            connection_string=os.environ["AZURE_STORAGE_CONNECTION_STRING"], skip_instance_cache=True
        )
        fs.mkdir(CONTAINER)

    def _run(self, name: str, *command: str) -> None:
        log = (self.folder / f"{name}.log").open("wb")
        self._processes.append(
            subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, start_new_session=True)
        )

    def _listens(self, port: int) -> None:
        end = time.monotonic() + 300
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.1)
        raise AssertionError(f"nobody listens on port {port}")


def url_of(store: str, folder: Path) -> str:
    """Where the history of a round is."""
    if store == "local":
        return str(folder / "history")
    return f"{'s3' if store == 's3' else 'abfs'}://{CONTAINER}/{folder.name}"


def _serve_s3(port: int) -> None:
    """Moto, with its PUTs one by one: it looks at a condition, then writes."""
    import threading

    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    app, lock = server._server.app, threading.Lock()

    def one_write_at_a_time(environ, start_response):
        if environ["REQUEST_METHOD"] != "PUT":
            return app(environ, start_response)
        with lock:
            return list(app(environ, start_response))

    server._server.app = one_write_at_a_time
    signal.pause()


def _serve_dask_hosts(port: int, workers: int) -> None:
    """A cluster whose workers share no spool, and no host's name where that may be changed."""
    from distributed import LocalCluster

    own_name = subprocess.run(["unshare", "-u", "true"], capture_output=True).returncode == 0
    cluster = LocalCluster(n_workers=0, scheduler_port=port, dashboard_address=None)
    for n in range(workers):
        flags = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", f"worker-{n}"]
        command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address, *flags]
        if own_name:
            command = ["unshare", "-u", "sh", "-c", f'hostname worker-{n}; exec "$@"', "sh", *command]
        env = {**os.environ, "TRACKRECORD_SPOOL": f"{os.environ['TRACKRECORD_SPOOL']}-{n}"}
        subprocess.Popen(command, env=env)
    signal.pause()


def _serve_dask(port: int) -> None:
    import dask
    from distributed import LocalCluster

    workers = int(os.environ.get("CHAOS_DASK_WORKERS") or 2)
    if os.environ.get("CHAOS_DASK_HOSTS"):
        _serve_dask_hosts(port, workers)
        return
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "2s"}):
        cluster = LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, scheduler_port=port, dashboard_address=None
        )
        cluster.adapt(minimum=workers, maximum=workers)  # one that heeded SIGTERM counts as retired else
        signal.pause()


if __name__ == "__main__":
    {"s3": _serve_s3, "dask": _serve_dask}[sys.argv[1]](int(sys.argv[2]))
