"""Environments made, changed and removed; see :mod:`.environments` for what they are.

Installing is a *command* of an environment: answered at once, done in a thread, with a state and a log. It works on a
copy that takes the place of the present overlay in the transaction that writes down the command's success.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import sqlite3
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from deepcube.embedded.catalog import Entity, iso_time, now_ms
from deepcube.embedded.errors import EmbeddedError, bad_request, unsupported
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.runtime.deployments import DEPLOYMENT
from deepcube.embedded.runtime.environments import (
    BASES,
    ENVIRONMENT,
    find_environment,
    overlays_folder,
    serving_environment,
)
from deepcube.embedded.runtime.environments_installer import Installer, read_requirements, requirements_of
from deepcube.embedded.runtime.environments_overlay import canonical, make_durable, make_overlay, packages
from deepcube.embedded.runtime.processes import Process, Task
from deepcube.embedded.runtime.records import EXECUTION, FINAL_STATES
from deepcube.embedded.runtime.trees import remove_tree, storage_error

ONGOING, SUCCESS, FAILED = "ONGOING", "SUCCESS", "FAILED"

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_LIBRARY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+ -]{0,199}")
_KEPT_COMMANDS = 50
_THREADS = 2
_INSTALL_SECONDS = 3600.0
_STEP_SECONDS = 1.0
_REASON_LINES = 15
_OWN_PREFIXES = ("HOPSWORKS_", "DEEPCUBE_", "SERVING_", "PYTHONPATH", "PYTHONHOME")

_log = logging.getLogger(__name__)


class Environments:
    """The environments of all projects.

    Parameters
    ----------
    platform : Platform
        Whose environments; commands that an earlier server left unfinished have failed.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._catalog = platform.catalog
        self._root = overlays_folder(platform)
        self._root.mkdir(exist_ok=True, mode=0o700)
        self._work = platform.home.run / "installations"
        self._work.mkdir(exist_ok=True, mode=0o700)
        self._closing = threading.Event()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="environment")
        self._recover()

    # -- the calls

    def create(self, project: Project, name: str, base: str, description: str | None, creator: str) -> Entity:
        """Make an environment with all that another one has.

        Raises
        ------
        ApiError
            If the name is not usable or taken, or there is no such base.
        """
        if not _NAME.fullmatch(name):
            raise bad_request(f"{name!r} is not a name of an environment; use small letters, digits, _ and - (63)")
        if name in BASES or self._catalog.first(project.id, ENVIRONMENT, name=name) is not None:
            raise bad_request(f"there is an environment named {name!r} already; choose another name, or delete it")
        parent = find_environment(self._platform, project, base)
        revision = self._new_revision(project, name)
        try:
            make_overlay(self._root / revision, self._root / parent.body["revision"] if parent else None)
            make_durable(self._root / revision)
        except OSError as error:
            remove_tree(self._root / revision)
            raise storage_error(error) from error
        body = {
            "description": description or f"made from {base}",
            "base": base,
            "creator": creator,
            "revision": revision,
            "commands": [],
        }
        return self._catalog.add(project.id, ENVIRONMENT, name, body)

    def remove(self, project: Project, name: str) -> None:
        """Remove an environment.

        Raises
        ------
        ApiError
            If it is one that a cluster comes with, something runs in it, or it is being changed.
        """
        with self._catalog.transaction():
            entity = self._own(project, name, "be removed")
            self._check_idle(entity)
            if uses := self.uses(project, name):
                raise bad_request(f"environment {name!r} is in use by {', '.join(uses[:5])}; stop that first")
            self._catalog.remove(entity)
        self._remove_revisions(entity)

    def uses(self, project: Project, name: str) -> list[str]:
        """Return what runs in an environment, in words."""
        found = [
            f"execution {execution.id} of job {execution.name!r}"
            for execution in self._catalog.find(project.id, EXECUTION)
            if execution.body["state"] not in FINAL_STATES and execution.body.get("environmentName") == name
        ]
        for deployment in self._catalog.find(project.id, DEPLOYMENT):
            named = {serving_environment(deployment.body["config"], part) for part in ("predictor", "transformer")}
            if deployment.body["desired"] == "RUNNING" and name in named:
                found.append(f"deployment {deployment.name!r}")
        return found

    def install(self, project: Project, name: str, library: str, document: dict[str, Any]) -> dict[str, Any]:
        """Start to install a wheel, or what a requirements file asks for.

        Parameters
        ----------
        library : str
            File name of either.
        document : dict
            ``packageSource`` (``WHEEL`` or ``REQUIREMENTS_TXT``) and ``dependencyUrl``, the path in the project.

        Returns
        -------
        dict
            The command.

        Raises
        ------
        ApiError
            If the environment is one that a cluster comes with or is being changed, or the file does not exist.
        """
        entity = self._own(project, name, "be changed; make an environment from it")
        kind = document.get("packageSource")
        if kind not in ("WHEEL", "REQUIREMENTS_TXT"):
            raise unsupported(f"installing from {kind}", "install a wheel or a requirements file")
        file = self._platform.files.existing(project.name, str(document.get("dependencyUrl")))
        if not file.is_file() or (kind == "WHEEL" and file.suffix != ".whl"):
            raise bad_request(f"{file.name!r} is no {'wheel (.whl)' if kind == 'WHEEL' else 'file'}")
        act = self._install_wheel if kind == "WHEEL" else self._install_requirements
        return self._submit(project, entity, "INSTALL", library, kind, lambda run: act(run, file))

    def uninstall(self, project: Project, name: str, library: str) -> dict[str, Any]:
        """Start to remove a package.

        Raises
        ------
        ApiError
            If the environment is one that a cluster comes with or is being changed, or the package is not its own.
        """
        entity = self._own(project, name, "be changed; make an environment from it")
        seen = {canonical(item.name): item.preinstalled for item in packages(self.overlay(entity))}
        if seen.get(canonical(library), True):
            raise bad_request(f"{library!r} is not among the packages that were installed into environment {name!r}")
        return self._submit(
            project, entity, "UNINSTALL", library, "PIP", lambda run: run.call(run.installer.removal(library))
        )

    def overlay(self, entity: Entity) -> Path:
        """Return the folder of an environment's present overlay."""
        return self._root / str(entity.body["revision"])

    def close(self) -> None:
        """End the commands that run; they have failed."""
        self._closing.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    # -- commands

    def _own(self, project: Project, name: str, verb: str) -> Entity:
        entity = find_environment(self._platform, project, name)
        if entity is None:
            raise unsupported(
                f"changing environment {name!r}",
                f"it is the server's own Python and cannot {verb}; see docs/cluster.md",
            )
        return entity

    def _check_idle(self, entity: Entity) -> None:
        busy = [command for command in entity.body["commands"] if command["status"] == ONGOING]
        if busy:
            raise bad_request(f"environment {entity.name!r} is being changed ({busy[0]['library']}); wait for the end")

    def _submit(
        self, project: Project, entity: Entity, op: str, library: str, kind: str, act: Callable[[_Run], None]
    ) -> dict[str, Any]:
        if not _LIBRARY.fullmatch(library):
            raise bad_request(f"{library!r} is not the name of a library or of a file with libraries")
        with self._catalog.transaction():
            entity = self._catalog.get(entity.id, ENVIRONMENT) or entity
            self._check_idle(entity)
            number = 1 + max((command["id"] for command in entity.body["commands"]), default=0)
            command = {
                "id": number,
                "op": op,
                "library": library,
                "packageSource": kind,
                "status": ONGOING,
                "errorMessage": None,
                "started": iso_time(now_ms()),
                "log": f"/Projects/{project.name}/Logs/Environments/{entity.name}/{number}_{library}.log",
            }
            commands = [*entity.body["commands"], command][-_KEPT_COMMANDS:]
            entity = self._catalog.update(entity, entity.body | {"commands": commands})
        self._pool.submit(self._carry_out, project, entity, command, act)
        return command

    def _carry_out(
        self, project: Project, entity: Entity, command: dict[str, Any], act: Callable[[_Run], None]
    ) -> None:
        revision = self._new_revision(project, entity.name)
        folder = self._root / revision
        log = self._platform.files.root / command["log"].lstrip("/")
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            make_overlay(folder, self.overlay(entity))
            act(_Run(folder, self._work / revision, log, self._closing))
            make_durable(folder)
            self._finish(entity, command, SUCCESS, None, revision)
        except Exception as error:
            if not isinstance(error, EmbeddedError):
                _log.warning("%s of %s failed", command["op"], command["library"], exc_info=True)
            with contextlib.suppress(EmbeddedError, OSError, sqlite3.Error):  # the next start writes it down
                self._finish(entity, command, FAILED, str(error), None)
        finally:
            shutil.rmtree(self._work / revision, ignore_errors=True)
            current = self._catalog.get(entity.id, ENVIRONMENT)
            if current is None or current.body["revision"] != revision:
                remove_tree(folder)
            elif not self.uses(project, entity.name):
                self._remove_revisions(entity, keep=revision)

    def _finish(
        self, entity: Entity, command: dict[str, Any], status: str, message: str | None, revision: str | None
    ) -> None:
        with self._catalog.transaction():
            current = self._catalog.get(entity.id, ENVIRONMENT)
            if current is None:
                return
            ended = {**command, "status": status, "errorMessage": message, "ended": iso_time(now_ms())}
            commands = [ended if each["id"] == command["id"] else each for each in current.body["commands"]]
            changes = {"commands": commands} | ({"revision": revision} if revision else {})
            self._catalog.update(current, current.body | changes)

    def _install_wheel(self, run: _Run, file: Path) -> None:
        """Install a wheel and of its requirements those that are not there yet."""
        wheel = run.take(file)
        needed = requirements_of(wheel)
        run.call(run.installer.wheel(wheel))
        self._install_missing(run, "\n".join(needed))

    def _install_requirements(self, run: _Run, file: Path) -> None:
        self._install_missing(run, run.take(file).read_text(encoding="utf-8"))

    def _install_missing(self, run: _Run, text: str) -> None:
        installed = {canonical(item.name): item.version for item in packages(run.overlay)}
        wanted = read_requirements(text, installed)
        run.say(f"{wanted.satisfied} requirements are satisfied, {len(wanted.missing)} are to be installed")
        if wanted.missing:
            file = run.work / "missing.txt"
            file.write_text(wanted.text, encoding="utf-8")
            run.call(run.installer.requirements(file, locked=wanted.locked))

    # -- overlays

    def _new_revision(self, project: Project, name: str) -> str:
        return f"{project.id}-{name}-{uuid.uuid4().hex[:8]}"

    def _remove_revisions(self, entity: Entity, keep: str | None = None) -> None:
        for folder in self._root.glob(f"{entity.project_id}-{entity.name}-????????"):
            if folder.name != keep:
                remove_tree(folder)

    def _recover(self) -> None:
        """Write down that commands were cut off, and remove the overlays that no environment and no job has."""
        kept = set()
        for entity in self._catalog.find(None, ENVIRONMENT):
            for command in entity.body["commands"]:
                if command["status"] == ONGOING:
                    self._finish(entity, command, FAILED, "the server was stopped while it worked on it", None)
            kept.add(entity.body["revision"])
            if self.uses(self._platform.project(entity.project_id), entity.name):
                folders = self._root.glob(f"{entity.project_id}-{entity.name}-????????")
                kept.update(folder.name for folder in folders)
        for folder in self._root.iterdir():
            if folder.name not in kept:
                remove_tree(folder)
        for folder in self._work.iterdir():
            remove_tree(folder)


class _Run:
    """One command at work on an overlay.

    Parameters
    ----------
    overlay : Path
        The overlay.
    work : Path
        Folder for what it needs on the way; made here.
    log : Path
        Its log.
    closing : threading.Event
        Set when it is to give up.
    """

    def __init__(self, overlay: Path, work: Path, log: Path, closing: threading.Event) -> None:
        self.overlay = overlay
        self.work = work
        self.installer = Installer(overlay / "bin" / "python")
        self._log = log
        self._closing = closing
        self._calls = 0
        work.mkdir(mode=0o700)

    def say(self, text: str) -> None:
        """Write a line to the log."""
        with self._log.open("a", encoding="utf-8") as stream:
            stream.write(text + "\n")

    def take(self, file: Path) -> Path:
        """Copy a file of the project, which may change meanwhile, and return the copy; it has the same name."""
        return Path(shutil.copyfile(file, self.work / file.name))

    def call(self, command: list[str]) -> None:
        """Run a command to its end.

        Raises
        ------
        EmbeddedError
            If it fails, takes longer than an hour, or the server stops; the message ends with what it said last.
        """
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_OWN_PREFIXES)}
        environment["VIRTUAL_ENV"] = str(self.overlay)
        self._calls += 1
        before = self._log.stat().st_size if self._log.exists() else 0
        task = Task(command, environment, self.work, self._log, self._log, tied=True)
        process = Process.start(self.work / f"process-{self._calls}", task)
        waited = 0.0
        while (result := process.wait(_STEP_SECONDS)) is None:
            waited += _STEP_SECONDS
            if self._closing.is_set() or waited > _INSTALL_SECONDS:
                process.kill()
                raise EmbeddedError("the server was stopped" if self._closing.is_set() else "it took over an hour")
        process.close()
        if not result.succeeded:
            with self._log.open(encoding="utf-8", errors="replace") as stream:
                stream.seek(before)
                said = [line.rstrip() for line in stream if line.strip()][-_REASON_LINES:]
            raise EmbeddedError("\n".join([f"the installer failed, {result.reason}", *said]))
