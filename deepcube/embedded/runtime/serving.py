"""Running deployments: each brought from the state it is in to the state it is to have, again and again.

What is to run is in the catalog; processes end with the server, and a restarted server starts them again. A change of
a running deployment starts the new instances beside the old ones, which go when the new ones answer.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import SERVING_NOT_RUNNING, ApiError, bad_request
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.runtime.deployments import (
    DEPLOYMENT,
    artifact_folder,
    find_deployment,
    instances,
    remove,
    set_desired,
)
from deepcube.embedded.runtime.environment import child_environment, forget_key, parse_variables, user_of
from deepcube.embedded.runtime.environments import interpreter, serving_environment
from deepcube.embedded.runtime.instances import Instance, Plan, Revision

RUNNING, STOPPED = "RUNNING", "STOPPED"
MAX_ARCHIVED_LOGS = 50

_STEP_SECONDS = 0.05
_DRAIN_SECONDS = 10.0
_MAX_SOCKET_PATH = 90
_SERVERS = Path(__file__).with_name("servers")

_log = logging.getLogger(__name__)


class Controller:
    """What runs of one deployment.

    Parameters
    ----------
    entity : Entity
        The deployment when it was started.
    first : Revision
        Its instances.
    """

    def __init__(self, entity: Entity, first: Revision) -> None:
        self.entity = entity
        self.active: Revision = first
        self.coming: Revision | None = None
        self.leaving: list[Revision] = []
        self.stopping = False
        self._drain_until: dict[int, float] = {}

    @property
    def revisions(self) -> list[Revision]:
        """All revisions that have processes."""
        return [self.active, *([self.coming] if self.coming else []), *self.leaving]

    def update(self, revision: Revision) -> None:
        """Have a new revision take over once it is ready; one that was on its way is given up."""
        if self.coming is not None:
            self._dismiss(self.coming, time.monotonic())
        self.coming = revision

    def stop(self) -> None:
        """End everything."""
        self.stopping = True
        for revision in self.revisions:
            revision.leave()

    def _dismiss(self, revision: Revision, now: float) -> None:
        self.leaving.append(revision)
        self._drain_until[revision.number] = now + _DRAIN_SECONDS

    def step(self, now: float) -> list[Revision]:
        """Look after all instances.

        Returns
        -------
        list of Revision
            Those that are over since the last step.
        """
        for revision in self.revisions:
            revision.step(now)
        if self.coming is not None and self.coming.ready and not self.stopping:
            self._dismiss(self.active, now)
            self.active, self.coming = self.coming, None
        for revision in self.leaving:
            until = self._drain_until.get(revision.number)
            if until is not None and (not revision.busy or now > until):
                del self._drain_until[revision.number]
                revision.leave()
        over = [revision for revision in self.leaving if revision.gone]
        self.leaving = [revision for revision in self.leaving if not revision.gone]
        return over

    @property
    def gone(self) -> bool:
        """Whether nothing is left of it."""
        return self.stopping and all(revision.gone for revision in self.revisions)

    def state(self) -> dict[str, Any]:
        """Return status, condition and instances as the REST API writes them."""
        shown = self.active if self.coming is None or self.active.ready else self.coming
        available = {
            "availableInstances": shown.available("predictor"),
            "deployed": not self.stopping,
        }
        if "transformer" in shown.pools:
            available["availableTransformerInstances"] = shown.available("transformer")
        if self.stopping:
            return available | _state("Stopping", "SCHEDULED", None, "Stopping the instances")
        failure = (self.coming.failure if self.coming is not None else None) or (
            None if self.active.ready else self.active.failure
        )
        if failure is not None:
            was_up = any(instance.was_ready for instance in shown.instances)
            return available | _state("Failed", "STARTED" if was_up else "INITIALIZED", False, failure)
        if self.coming is not None:
            return available | _state("Updating", "INITIALIZED", None, "Starting the new instances")
        if self.active.ready:
            return available | _state("Running", "READY", True, "Deployment is ready")
        return available | _state("Starting", "INITIALIZED", None, "Loading the predictor")


def _state(status: str, condition: str, holds: bool | None, reason: str) -> dict[str, Any]:
    return {"status": status, "condition": {"type": condition, "status": holds, "reason": reason}}


class Serving:
    """The deployments that run.

    Parameters
    ----------
    platform : Platform
        Whose deployments; those that are to run are started when :meth:`resume` is called.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._root = platform.home.run / "deployments"
        self._sockets, self._temporary = _socket_folder(platform)
        self._controllers: dict[int, Controller] = {}
        self._by_name: dict[tuple[int, str], int] = {}
        self._guard = threading.RLock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._archive_left_over()
        self._thread = threading.Thread(target=self._run, name="serving", daemon=True)
        self._thread.start()

    # -- the calls

    def resume(self) -> None:
        """Start what is to run and does not; called when the server answers requests."""
        for entity in self._platform.catalog.find(None, DEPLOYMENT):
            if entity.body["desired"] == RUNNING and entity.id not in self._controllers:
                try:
                    self.start(self._platform.project(entity.project_id), entity)
                except ApiError as error:
                    _log.warning("cannot start deployment %s: %s", entity.name, error)

    def start(self, project: Project, entity: Entity) -> None:
        """Start a deployment; one that keeps failing is tried again at once.

        Raises
        ------
        ApiError
            If it is stopping just now.
        """
        entity = set_desired(self._platform, entity, RUNNING)
        with self._guard:
            controller = self._controllers.get(entity.id)
            if controller is None:
                controller = Controller(entity, self._revision(project, entity))
                self._controllers[entity.id] = controller
                self._by_name[project.id, entity.name] = entity.id
            elif controller.stopping:
                raise bad_request(f"deployment {entity.name!r} is stopping; start it when it is stopped")
            for instance in controller.active.instances:
                instance.retry_now()
        self._wake.set()

    def stop(self, entity: Entity) -> None:
        """Stop a deployment; returns at once."""
        set_desired(self._platform, entity, STOPPED)
        with self._guard:
            controller = self._controllers.get(entity.id)
            if controller is not None and not controller.stopping:
                controller.stop()
        self._wake.set()

    def update(self, project: Project, entity: Entity) -> None:
        """Have a running deployment run its changed configuration."""
        with self._guard:
            controller = self._controllers.get(entity.id)
            if controller is not None and not controller.stopping:
                controller.entity = entity
                controller.update(self._revision(project, entity))
        self._wake.set()

    def remove(self, project: Project, entity: Entity) -> None:
        """Stop a deployment, wait until it is over, and remove it."""
        self.stop(entity)
        deadline = time.monotonic() + 15.0
        while entity.id in self._controllers and time.monotonic() < deadline:
            time.sleep(_STEP_SECONDS)
        remove(self._platform, project, find_deployment(self._platform, project, entity.id))

    def state(self, entity: Entity) -> dict[str, Any]:
        """Return the state of a deployment as the REST API writes it."""
        controller = self._controllers.get(entity.id)
        if controller is not None:
            return controller.state()
        was_started = entity.body["desired"] != "CREATED"
        if entity.body["desired"] == RUNNING:
            state = _state("Starting", "SCHEDULED", None, "Waiting to be started")
        elif was_started:
            state = _state("Stopped", "STOPPED", True, "Deployment is stopped")
        else:
            state = _state("Created", "STOPPED", None, "Deployment is created")
        return {"availableInstances": 0, "deployed": False, **state}

    def running(self, project_id: int, name: str) -> Revision:
        """Return the revision that answers for a deployment.

        Raises
        ------
        ApiError
            With the code that the client reports as "not running", and the reason.
        """
        controller = self._controllers.get(self._by_name.get((project_id, name), -1))
        if controller is None:
            raise ApiError(400, SERVING_NOT_RUNNING, f"deployment {name!r} is not running; start it")
        if not controller.active.ready:
            state = controller.state()
            message = f"deployment {name!r} is {state['status']}: {state['condition']['reason']}"
            raise ApiError(400, SERVING_NOT_RUNNING, message)
        return controller.active

    def live_instances(self, entity: Entity, component: str) -> list[Instance]:
        """Return the instances of a component that have a live log."""
        controller = self._controllers.get(entity.id)
        revisions = controller.revisions if controller is not None else []
        return [instance for revision in revisions for instance in revision.pools.get(component, [])]

    def close(self) -> None:
        """End all processes; what is to run is started again by the next server."""
        with self._guard:
            self._closing.set()
            for controller in self._controllers.values():
                controller.stop()
        self._wake.set()
        self._thread.join(15.0)
        if self._temporary:
            shutil.rmtree(self._sockets, ignore_errors=True)

    # -- the loop

    def _run(self) -> None:
        while True:
            try:
                self._step()
            except Exception:
                _log.exception("cannot look after the deployments")
            if self._closing.is_set() and not self._controllers:
                return
            settled = all(c.active.ready and not c.coming and not c.leaving for c in self._controllers.values())
            self._wake.wait(None if not self._controllers else _STEP_SECONDS * (5 if settled else 1))
            self._wake.clear()

    def _step(self) -> None:
        now = time.monotonic()
        with self._guard:
            for deployment_id, controller in list(self._controllers.items()):
                over = controller.step(now)
                if controller.gone:
                    over += [controller.active, *([controller.coming] if controller.coming else [])]
                    del self._controllers[deployment_id]
                    self._by_name.pop((controller.entity.project_id, controller.entity.name), None)
                for revision in over:
                    self._forget_keys(controller.entity, revision)
                    self._archive(controller.entity, revision.folder)

    def _forget_keys(self, entity: Entity, revision: Revision) -> None:
        user = self._platform.keys.find_user(entity.body["creator"])
        if user is None:
            return
        for component in revision.pools:
            forget_key(self._platform, user, f"deployment-{entity.id}-{component}-{revision.number}")

    def _revision(self, project: Project, entity: Entity) -> Revision:
        config, number = entity.body["config"], entity.body["revision"]
        plans = [self._plan(project, entity, "predictor")]
        if config.get("transformer"):
            plans.append(self._plan(project, entity, "transformer"))
        folder = self._root / str(entity.id) / f"{entity.id}r{number}"
        return Revision(number, plans, folder, self._sockets)

    def _plan(self, project: Project, entity: Entity, component: str) -> Plan:
        files, config = self._platform.files, entity.body["config"]
        artifacts = artifact_folder(self._platform, project, entity.name, entity.body["version"])
        variables = {
            "ARTIFACT_FILES_PATH": str(artifacts),
            "DEPLOYMENT_NAME": entity.name,
            "DEPLOYMENT_VERSION": str(entity.body["version"]),
            "DEPLOYMENT_COMPONENT": component,
        }
        model_files = None
        if config.get("modelName"):
            model_files = files.resolve(project.name, f"Models/{config['modelName']}/{config['modelVersion']}/Files")
            variables["MODEL_FILES_PATH"] = str(model_files)
            variables["MODEL_NAME"] = config["modelName"]
            variables["MODEL_VERSION"] = str(config["modelVersion"])
        if config.get("configFile"):
            variables["CONFIG_FILE_PATH"] = str(files.resolve(project.name, config["configFile"]))
        user = user_of(self._platform, entity.body["creator"])
        label = f"deployment-{entity.id}-{component}-{entity.body['revision']}"
        runner = interpreter(self._platform, project, serving_environment(config, component))
        environment = runner.variables(child_environment(self._platform, project, user, label, **variables))
        environment |= parse_variables(config.get(f"{component}EnvVars"))
        script = _script(
            config, component, files.resolve(project.name, config[component]) if config.get(component) else None
        )
        environment["SCRIPT_PATH"] = str(script)
        count = instances(config, component)
        return Plan(component, entity.name, script, runner.python, environment, model_files, count)

    # -- logs

    def _archive(self, entity: Entity, folder: Path) -> None:
        """Keep the logs of processes that are over, in the project's ``Logs`` dataset."""
        with contextlib.suppress(ApiError, OSError):
            project = self._platform.project(entity.project_id)
            target = self._platform.files.resolve(project.name, f"Logs/Serving/{entity.name}")
            target.mkdir(parents=True, exist_ok=True)
            stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
            for log in sorted(folder.glob("*/*.log")):
                if log.parent.name != "process":
                    log.replace(target / f"{stamp}_{entity.name}-{log.parent.name}_{log.stem}.log")
            for old in sorted(target.iterdir())[:-MAX_ARCHIVED_LOGS]:
                old.unlink()
        shutil.rmtree(folder, ignore_errors=True)

    def _archive_left_over(self) -> None:
        self._root.mkdir(exist_ok=True, mode=0o700)
        for folder in self._root.iterdir():
            entity = self._platform.catalog.get(int(folder.name), DEPLOYMENT) if folder.name.isdecimal() else None
            for revision in folder.iterdir():
                if entity is not None:
                    self._archive(entity, revision)
            shutil.rmtree(folder, ignore_errors=True)


def _script(config: dict[str, Any], component: str, given: Path | None) -> Path:
    """Return the script to run: the user's, or the one that serves a model without a script."""
    if given is not None:
        return given
    tensorflow = config.get("modelServer") == "TENSORFLOW_SERVING" or config.get("modelFramework") == "TENSORFLOW"
    return _SERVERS / ("tensorflow_model.py" if tensorflow else "joblib_model.py")


def _socket_folder(platform: Platform) -> tuple[Path, bool]:
    """Return a folder for sockets that only this user can enter, and whether it is a temporary one.

    Systems limit the path of a socket to about 100 characters; below a home folder with a longer path, the sockets go
    to the system's folder for temporary files.
    """
    folder = platform.home.run / "sockets"
    if len(str(folder)) <= _MAX_SOCKET_PATH - 20:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        return folder, False
    return Path(tempfile.mkdtemp(prefix="deepcube-")), True
