"""Executions of jobs: started, followed, stopped, and found again after a restart.

An execution is in the catalog before anything is started, and its process is followed by the lock of its supervisor,
so a crash of the server at any instant loses none: at the start, what was not started yet is started, what still runs
is followed again, and what has ended meanwhile is written down.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import sqlite3
import threading
import time
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from deepcube.embedded.catalog import Entity, now_ms
from deepcube.embedded.errors import EmbeddedError
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.runtime.commands import find_program, key_label, prepare
from deepcube.embedded.runtime.environment import forget_key
from deepcube.embedded.runtime.functions import BUILTINS, OUTPUT
from deepcube.embedded.runtime.jobs import JOB
from deepcube.embedded.runtime.processes import GRACE_SECONDS, Process, Result
from deepcube.embedded.runtime.records import EXECUTION, FINAL_STATES, Records
from deepcube.embedded.runtime.trees import remove_tree

_POLL_SECONDS = 0.1
_RETRY_SECONDS = 1.0  # between attempts to write an end that the disk refused
_BUILTIN_THREADS = 4
_SHORT_SECONDS = 2.0

_log = logging.getLogger(__name__)


class Executions:
    """Everything that runs as a job.

    Parameters
    ----------
    platform : Platform
        Whose jobs; executions that an earlier server left behind are taken over.

    Attributes
    ----------
    records : Records
        The executions in the catalog.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self.records = Records(platform)
        self._root = platform.home.run / "executions"
        self._root.mkdir(exist_ok=True, mode=0o700)
        self._running: dict[int, Process] = {}
        self._threads: dict[int, Future[None]] = {}
        self._guard = threading.Lock()
        self._ending: dict[int, threading.Lock] = {}
        self._pending: list[tuple[Project, Entity, Entity]] = []
        self._unwritten: dict[int, tuple[str, str | None]] = {}
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._pool = ThreadPoolExecutor(_BUILTIN_THREADS, thread_name_prefix="builtin-job")
        self._recover()
        self._monitor = threading.Thread(target=self._follow, name="executions", daemon=True)
        self._monitor.start()

    # -- the calls

    def start(
        self,
        project: Project,
        job: Entity,
        *,
        arguments: str | None = None,
        variables: dict[str, str] | None = None,
        user: dict[str, object] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> Entity:
        """Start a job.

        Not to be called inside a transaction of the catalog, which the process or thread could not see into:
        :meth:`Records.add` is for that, and :meth:`launch` for afterwards.

        Parameters
        ----------
        arguments : str, optional
            Arguments; the job's defaults if None or empty.
        variables : dict, optional
            Environment variables of this execution alone.
        user : dict, optional
            User document of who starts it.
        extra : dict, optional
            More for the execution's document (the interval of a schedule).

        Raises
        ------
        ApiError
            If the arguments are malformed or the program is missing.
        """
        if not job.body.get("builtin"):
            find_program(self._platform, project, job)
        execution = self.records.add(project, job, arguments=arguments, variables=variables, user=user, extra=extra)
        self.launch(project, job, execution)
        self._await_thread(execution.id, _SHORT_SECONDS)
        return self._platform.catalog.get(execution.id) or execution

    def launch(self, project: Project, job: Entity, execution: Entity) -> None:
        """Start the process or thread of a recorded execution."""
        if self._closing.is_set():
            return
        try:
            for log in self.records.logs(execution):
                log.parent.mkdir(parents=True, exist_ok=True)
                log.touch()
            if job.body.get("builtin"):
                self._launch_builtin(project, job, execution)
                return
            folder = self._folder(execution.id)
            task = prepare(self._platform, project, job, execution, folder, *self.records.logs(execution))
            with self._guard:
                if self._closing.is_set():
                    return
                self._running[execution.id] = Process.start(folder, task)
                self._wake.set()
        except (EmbeddedError, OSError, sqlite3.Error) as error:
            self.records.write_error(execution, f"{error}\n")
            self._end(execution.id, "FAILED", str(error))
            return
        self.records.update(execution.id, state="RUNNING", startedMs=now_ms())
        self._stop_if_over(execution.id)

    def _stop_if_over(self, execution_id: int) -> None:
        """End a process whose execution was stopped or removed just when it was being started."""
        execution = self._platform.catalog.get(execution_id, EXECUTION)
        process = self._running.get(execution_id)
        if process is not None and (execution is None or execution.body["state"] in FINAL_STATES):
            process.stop()

    def find(self, project: Project, job: Entity, execution_id: int) -> Entity:
        """Return an execution of a job as it is now.

        Raises
        ------
        ApiError
            If the job has no such execution.
        """
        self._look(execution_id)
        return self.records.read(project, job, execution_id)

    def stop(self, project: Project, job: Entity, execution_id: int) -> Entity:
        """Stop an execution and return it once it is over; what is over already stays as it is."""
        execution = self.find(project, job, execution_id)
        if execution.body["state"] in FINAL_STATES:
            return execution
        process = self._running.get(execution_id)
        if process is None:  # a built-in job: its thread cannot be ended, its result no longer counts
            self.records.finish(execution_id, "KILLED", "it was stopped")
            return self.find(project, job, execution_id)
        process.stop()
        if process.wait(GRACE_SECONDS + 3.0) is None:
            process.kill()
            process.wait(2.0)
        self._look(execution_id)
        return self.find(project, job, execution_id)

    def rerun(self, project: Project, job: Entity, execution_id: int) -> Entity:
        """Run a failed or killed execution once more, under the same id; its old logs are kept aside.

        Raises
        ------
        ApiError
            If it has not failed.
        """
        self._look(execution_id)
        execution = self.records.renew(project, job, execution_id)
        remove_tree(self._folder(execution_id))
        self.launch(project, job, execution)
        return self.find(project, job, execution_id)

    def remove(self, project: Project, job: Entity, execution_id: int) -> None:
        """Stop an execution if it runs, and remove it with its logs."""
        execution = self.stop(project, job, execution_id)
        self._platform.catalog.remove(execution)
        remove_tree(self.records.logs(execution)[0].parent)

    def remove_job(self, project: Project, job: Entity) -> None:
        """Remove a job, stopping what runs of it, with all executions; logs stay, as on a cluster."""
        for execution in self._platform.catalog.find(project.id, EXECUTION, parent_id=job.id):
            if execution.body["state"] not in FINAL_STATES:
                self.stop(project, job, execution.id)
        self._platform.catalog.remove(job)
        for execution_id in list(self._running):
            self._stop_if_over(execution_id)

    def resume(self) -> None:
        """Launch what an earlier server has acknowledged and not started; called when the server answers requests."""
        while self._pending:
            self.launch(*self._pending.pop())

    def close(self) -> None:
        """Stop everything that runs; executions end as KILLED."""
        with self._guard:
            self._closing.set()
            running = dict(self._running)
        for process in running.values():
            process.stop()
        deadline = time.monotonic() + GRACE_SECONDS + 2.0
        for process in running.values():
            if process.wait(max(0.0, deadline - time.monotonic())) is None:
                process.kill()
        for execution_id in running:
            self._look(execution_id)
        for execution_id in list(self._threads):
            self._end(execution_id, "KILLED", "the server was stopped")
        self._wake.set()
        self._monitor.join(5.0)
        self._pool.shutdown(wait=False, cancel_futures=True)

    # -- processes

    def _folder(self, execution_id: int) -> Path:
        return self._root / str(execution_id)

    def _recover(self) -> None:
        for execution in self._platform.catalog.find(None, EXECUTION):
            if execution.body["state"] in FINAL_STATES:
                continue
            project = self._platform.project(execution.project_id)
            job = self._platform.catalog.get(execution.parent_id, JOB)
            process = Process(self._folder(execution.id))
            if job is None:
                self._platform.catalog.remove(execution)
            elif job.body.get("builtin"):
                self.records.write_error(execution, "the server was stopped while this job ran; run it again\n")
                self.records.finish(execution.id, "FAILED", "the server was stopped while it ran")
            elif process.was_started or process.alive():
                self._running[execution.id] = process
                self.records.update(execution.id, state="RUNNING")
            else:
                self._pending.insert(0, (project, job, execution))
        known = {str(execution_id) for execution_id in self._running}
        for folder in self._root.iterdir():
            if folder.name not in known and not Process(folder).alive():
                shutil.rmtree(folder, ignore_errors=True)

    def _follow(self) -> None:
        while not self._closing.is_set():
            for execution_id in list(self._running):
                try:
                    self._look(execution_id)
                except Exception:
                    _log.exception("cannot follow execution %d", execution_id)
            self._write_ends_again()
            self._wake.wait(_POLL_SECONDS if self._running else _RETRY_SECONDS if self._unwritten else None)
            self._wake.clear()

    def _end(self, execution_id: int, state: str, reason: str | None) -> None:
        """Write down an end that no process tells of later; on a disk that refuses, again until it does not.

        An execution that seems to run for ever would have the client start no other one of its job.
        """
        try:
            self.records.finish(execution_id, state, reason)
        except (EmbeddedError, OSError, sqlite3.Error) as error:
            _log.warning("the end of execution %d cannot be written yet: %s", execution_id, error)
            self._unwritten[execution_id] = (state, reason)
            self._wake.set()

    def _write_ends_again(self) -> None:
        for execution_id, (state, reason) in list(self._unwritten.items()):
            with contextlib.suppress(EmbeddedError, OSError, sqlite3.Error):
                self.records.finish(execution_id, state, reason)
                del self._unwritten[execution_id]

    def _look(self, execution_id: int) -> None:
        """Write down the end of an execution if it has come; returns after it is written, whoever writes it."""
        with self._guard:
            if execution_id not in self._running:  # it leaves the table when its end is written
                return
            ending = self._ending.setdefault(execution_id, threading.Lock())
        with ending:
            process = self._running.get(execution_id)
            result = process.result() if process is not None else None
            if process is None or result is None:
                return
            self._write_end(execution_id, result)
            self._forget_key(execution_id)
            process.close()
            shutil.rmtree(process.folder, ignore_errors=True)
            with self._guard:
                del self._running[execution_id]
                del self._ending[execution_id]

    def _forget_key(self, execution_id: int) -> None:
        execution = self._platform.catalog.get(execution_id, EXECUTION)
        user = self._platform.keys.find_user(execution.body["user"]["email"]) if execution is not None else None
        if execution is not None and user is not None:
            forget_key(self._platform, user, key_label(execution))

    def _write_end(self, execution_id: int, result: Result) -> None:
        state = "FINISHED" if result.succeeded else "KILLED" if result.stopped else "FAILED"
        execution = self._platform.catalog.get(execution_id, EXECUTION)
        if execution is not None and state == "FAILED":
            self.records.write_error(execution, f"job {execution.name!r} failed: {result.reason}\n")
        duration = int(1000 * (result.ended - result.started))
        self.records.finish(
            execution_id, state, None if result.succeeded else result.reason, duration, result.exit_code
        )

    # -- threads

    def _launch_builtin(self, project: Project, job: Entity, execution: Entity) -> None:
        self.records.update(execution.id, state="RUNNING", startedMs=now_ms())
        thread = self._pool.submit(self._run_builtin, project, job, execution)
        self._threads[execution.id] = thread
        thread.add_done_callback(lambda done: self._threads.pop(execution.id, None))

    def _run_builtin(self, project: Project, job: Entity, execution: Entity) -> None:
        out, _ = self.records.logs(execution)
        builtin = job.body["builtin"]

        def write(text: str) -> None:
            with out.open("a") as stream:
                stream.write(text)

        token = OUTPUT.set(write)
        try:
            function = BUILTINS.get(builtin["kind"])
            if function is None:
                raise EmbeddedError(f"no built-in job of kind {builtin['kind']!r}; there are {sorted(BUILTINS)}")
            function(self._platform, project, {**builtin["arguments"], "args": execution.body["args"]})
        except Exception as error:
            _log.warning("built-in job %s failed: %s", job.name, error)
            self.records.write_error(execution, traceback.format_exc())
            self._end(execution.id, "FAILED", f"{type(error).__name__}: {error}")
        else:
            self._end(execution.id, "FINISHED", None)
        finally:
            OUTPUT.reset(token)

    def _await_thread(self, execution_id: int, seconds: float) -> None:
        thread = self._threads.get(execution_id)
        if thread is not None:
            try:
                thread.result(seconds)
            except TimeoutError:
                return
