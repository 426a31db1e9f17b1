"""Workers started by torchrun, by Spark in barrier mode, and by Ray."""

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from deepcube.oblivious.errors import WorkerError
from deepcube.oblivious.launchers import (
    Fleet,
    Launcher,
    describe_exit,
    end_process,
    log_file,
    signal_group,
    tail,
    worker_command,
)
from deepcube.oblivious.shipping import Job

_TASK_SAYS = re.compile(r"worker (?P<rank>\d+) (?P<why>ended (?:with|by) .*?)\s*\(end of worker (?P=rank)\)", re.DOTALL)
"""What :func:`run_beside` raises, within an engine's traceback."""

_AGENT_SAYS = re.compile(r"Root Cause.*?\brank\s*:\s*(?P<rank>\d+).*?\bexitcode\s*:\s*(?P<status>-?\d+)", re.DOTALL)
"""What torchrun prints of the worker that died first."""


class TorchrunLauncher(Launcher):
    """``torchrun`` on this machine: one agent that starts all ranks, and ends them if one dies."""

    name = "torchrun"

    def start(self, job: Job, count: int, folder: Path) -> Fleet:
        """Start the agent."""
        require("torch", self.name)
        written = job.write(folder / "job")
        agent = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}", "-m"]
        with log_file(folder, 0).open("ab") as log:
            process = subprocess.Popen(
                [*agent, *worker_command(written, None)[2:]],
                env={**os.environ, **job.environment, "PYTHONPATH": python_path()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return _AgentFleet(process, count, folder)


class _AgentFleet(Fleet):
    """Workers that live and die with one process."""

    def __init__(self, process: "subprocess.Popen[bytes]", count: int, folder: Path) -> None:
        self._process, self._count, self._folder = process, count, folder

    def dead(self) -> dict[int, str]:
        status = self._process.poll()
        if status is None:
            return {}
        printed = tail(log_file(self._folder, 0))
        if cause := _AGENT_SAYS.search(printed):
            return _with_cause(int(cause["rank"]), describe_exit(int(cause["status"])) + printed, self._count)
        return dict.fromkeys(range(self._count), describe_exit(status) + printed)

    def stop(self) -> None:
        signal_group(self._process, signal.SIGTERM)
        end_process(self._process, patience=5.0)


class _ThreadFleet(Fleet):
    """Workers that an engine runs as the tasks of one call, made in a thread of its own."""

    def __init__(
        self,
        run: Callable[[], object],
        cancel: Callable[[], object],
        count: int,
        revives: bool,
        close: Callable[[], object] = lambda: None,
    ) -> None:
        self._count, self._cancel, self._revives, self._close = count, cancel, revives, close
        self._end: str | None = None

        def call() -> None:
            try:
                run()
                self._end = "ended"
            except Exception as error:
                self._end = f"ended: {error}"

        self._thread = threading.Thread(target=call, name="launcher", daemon=True)
        self._thread.start()

    def dead(self) -> dict[int, str]:
        if self._end is None:
            return {}
        if cause := _TASK_SAYS.search(self._end):
            return _with_cause(int(cause["rank"]), cause["why"], self._count)
        return dict.fromkeys(range(self._count), self._end)

    def restart(self, number: int) -> bool:
        return self._revives and self._end is None  # :func:`run_beside` does it

    def stop(self) -> None:
        deadline = time.monotonic() + 3.0
        while self._end is None and time.monotonic() < deadline:
            time.sleep(0.05)
        if self._end is None:
            self._cancel()
        self._thread.join(timeout=10)
        self._close()
        self._close = lambda: None


class SparkLauncher(Launcher):
    """The tasks of one barrier stage of Spark, each of which starts a worker beside its executor.

    Parameters
    ----------
    session : pyspark.sql.SparkSession, optional
        The session to run on, for example that of a PYSPARK job; by default a local one with as many cores as workers.
    """

    name = "spark"

    def __init__(self, session: Any = None) -> None:
        self.session = session

    def start(self, job: Job, count: int, folder: Path) -> Fleet:
        """Start the barrier stage."""
        require("pyspark", self.name)
        session = self.session or _local_session(count)
        context = session.sparkContext
        parts = job_parts(job)
        group = f"deepcube-{folder.name}"

        def run() -> None:
            context.setJobGroup(group, "deepcube.oblivious", interruptOnCancel=True)
            rdd = context.parallelize(range(count), count).barrier()
            rdd.mapPartitions(_SparkTask(parts)).collect()

        return _ThreadFleet(run, lambda: context.cancelJobGroup(group), count, job.revive)


class _SparkTask:
    """Runs in an executor; Spark ships it in its own closure."""

    def __init__(self, parts: Mapping[str, Any]) -> None:
        self.parts = parts

    def __call__(self, rows: Any) -> Any:
        from pyspark import BarrierTaskContext

        context: Any = BarrierTaskContext.get()
        rank = context.partitionId()
        host = context.getTaskInfos()[rank].address.split(":")[0]
        run_beside(self.parts, rank, "127.0.0.1" if host in ("", "localhost") else host)
        return iter([rank])


class RayLauncher(Launcher):
    """Ray tasks, each of which starts a worker beside its Ray worker.

    Parameters
    ----------
    address : str, optional
        Of a Ray cluster; by default the one that this program has joined with ``ray.init``, else a new one on this
        machine, which ends with the experiment.
    """

    name = "ray"

    def __init__(self, address: str | None = None) -> None:
        self.address = address

    def start(self, job: Job, count: int, folder: Path) -> Fleet:
        """Start the tasks."""
        require("ray", self.name)
        import ray

        own = not ray.is_initialized()
        if own:
            ray.init(
                address=self.address,
                num_cpus=None if self.address else count,
                include_dashboard=False,
                configure_logging=False,
                log_to_driver=False,
            )
        task = ray.remote(num_cpus=1, max_retries=0)(run_beside)
        parts = job_parts(job)
        tasks = [task.remote(parts, rank, None) for rank in range(count)]

        def cancel() -> None:
            for each in tasks:
                ray.cancel(each, force=True)

        return _ThreadFleet(lambda: ray.get(tasks), cancel, count, job.revive, ray.shutdown if own else lambda: None)


def _with_cause(rank: int, why: str, count: int) -> dict[int, str]:
    """Return why all workers are dead: one ended by itself, and is named first, the others because of it."""
    others = [number for number in range(count) if number != rank]
    return {rank: why, **dict.fromkeys(others, f"was ended because worker {rank} {why}")}


def job_parts(job: Job) -> dict[str, Any]:
    """Return a job as plain values, to travel in an engine's own closure."""
    return {
        "payload": job.payload,
        "host": job.host,
        "port": job.port,
        "secret": job.secret,
        "environment": dict(job.environment),
        "revive": job.revive,
        "path": python_path(),
    }


def run_beside(parts: Mapping[str, Any], rank: int, host: str | None) -> int:
    """Run a worker as a process of its own and wait for it; start it again if it died and the experiment wants that.

    Parameters
    ----------
    parts : mapping of str to Any
        As :func:`job_parts` gives.
    rank : int
        Number of the worker.
    host : str, optional
        Address of this machine as the others see it.

    Raises
    ------
    RuntimeError
        If the worker ended with another status than 0; with what it printed last.
    """
    job = Job(parts["payload"], parts["host"], parts["port"], parts["secret"])
    environment = {**os.environ, **parts["environment"], "PYTHONPATH": parts["path"], "RANK": str(rank)}
    if host:
        environment["DEEPCUBE_WORKER_HOST"] = host
    with tempfile.TemporaryDirectory() as scratch:
        folder = job.write(Path(scratch) / "job")
        log = log_file(Path(scratch), rank)
        status = _run_logged(worker_command(folder, rank), environment, log)
        while status and parts["revive"] and _listens(job.host, job.port):
            status = _run_logged(worker_command(folder, rank), environment, log)
        if status:
            raise RuntimeError(f"worker {rank} {describe_exit(status)}{tail(log)}\n(end of worker {rank})")
    return rank


def _run_logged(command: list[str], environment: Mapping[str, str], log: Path) -> int:
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            return process.wait()
        finally:
            if process.poll() is None:
                process.kill()


def _listens(host: str, port: int) -> bool:
    """Return whether the experiment is still there."""
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True


def python_path() -> str:
    """Return where this process finds modules, for the environment of another one."""
    return os.pathsep.join(path for path in sys.path if path)


def require(package: str, launcher: str) -> None:
    """Check that a package is installed.

    Raises
    ------
    WorkerError
        If it is not.
    """
    if importlib.util.find_spec(package) is None:
        raise WorkerError(
            f"Found no {package}, which launcher {launcher!r} needs; install it (`pip install {package}`)."
        )


def _local_session(count: int) -> Any:
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # by default the first `python3` there is, of any version
    builder: Any = SparkSession.builder
    return (
        builder.master(f"local[{count}]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .getOrCreate()
    )
