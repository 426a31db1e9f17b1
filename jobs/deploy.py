"""Ship this code to a Hopsworks: environments with the wheel and its requirements, jobs, schedules.

A deployment is a list of steps, each of which looks first whether what it is to bring about is there already, by
content: files carry a hash in their names, jobs and schedules are compared, scripts are read back. So a second
deployment changes nothing, and one that was interrupted goes on where it was. What was installed into an environment
is noted in the project's files when it is done.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs import definitions, usecases
from jobs.definitions import Environments, absolute, find_job, make_folder
from jobs.deploy_package import NAME, Package
from jobs.stages import STAGES

FOLDER = "Resources/deepcube/deploy"
_BASES = {"jobs": definitions.BASE_ENVIRONMENT, "serving": "minimal-inference-pipeline"}
_RESTART_SECONDS = 300

CREATE, REPLACE, UNCHANGED = "create", "replace", "unchanged"
Teller = Callable[["Outcome", bool], None]
"""Called with a step before (False) and after (True) it is carried out; not before one that changes nothing."""


@dataclass(frozen=True)
class Outcome:
    """What a step changes.

    Attributes
    ----------
    kind : str
        ``environment``, ``requirements``, ``wheel``, ``script``, ``job``, ``schedule`` or ``deployment``.
    name : str
        Of what.
    change : str
        ``create``, ``replace`` or ``unchanged``.
    """

    kind: str
    name: str
    change: str


@dataclass(frozen=True)
class Step:
    """One thing that is to be as this code has it.

    Attributes
    ----------
    kind, name : str
        See :class:`Outcome`.
    look : callable
        Tells what is to change.
    act : callable
        Changes it.
    """

    kind: str
    name: str
    look: Callable[[], str]
    act: Callable[[], object]


def environments(name: str) -> Environments:
    """Return the two environments of a deployment: a cluster has images of their own for predictors."""
    return Environments(jobs=name, serving=f"{name}-inference")


class Deployer:
    """Deploys to the platform that the client is logged in to.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    package : Package
        The code and its requirements.
    environment : str
        Name of the environment of the jobs; that of predictors is named after it.
    source : str, optional
        What jobs read when their schedule starts them: a named source, or a path that they can open; by default each
        use case's own. Services keep theirs.
    """

    def __init__(self, project: Any, package: Package, environment: str, source: str | None = None) -> None:
        self._project = project
        self._package = package
        self._source = source
        self._datasets = project.get_dataset_api()
        self._environments = environments(environment)

    def deploy(self, use_cases: Iterable[str], tell: Teller, *, dry_run: bool = False) -> list[Outcome]:
        """Bring the platform to what this code has.

        Parameters
        ----------
        use_cases : iterable of str
            Names of use cases.
        tell : callable
            Told of each step.
        dry_run : bool
            Whether nothing is changed.

        Returns
        -------
        list of Outcome
            What has changed, or would change, and what has not.
        """
        outcomes = []
        for step in self.steps(use_cases):
            with _quiet():
                outcome = Outcome(step.kind, step.name, step.look())
            if outcome.change != UNCHANGED and not dry_run:
                tell(outcome, False)
                with _quiet():
                    step.act()
            tell(outcome, True)
            outcomes.append(outcome)
        return outcomes

    def steps(self, use_cases: Iterable[str]) -> list[Step]:
        """Return what is to be brought about, in order."""
        steps = [
            *self._environment_steps(self._environments.jobs, _BASES["jobs"]),
            *self._environment_steps(self._environments.serving, _BASES["serving"]),
        ]
        for name in use_cases:
            steps += self._use_case_steps(name)
        return steps

    # -- environments

    def _environment_steps(self, name: str, base: str) -> list[Step]:
        api = self._project.get_environment_api()
        wheel, requirements = self._package.file_name, self._package.requirements_name

        def create() -> None:
            api.create_environment(name, description=f"code of {NAME}", base_environment_name=base)

        def install_requirements() -> None:
            path = self._upload(requirements, self._package.requirements.encode())
            api.get_environment(name).install_requirements(path)
            self._note(name, requirements=requirements)

        def install_wheel() -> None:
            path = self._upload(wheel, self._package.wheel)
            api.get_environment(name).install_wheel(path)
            self._note(name, wheel=wheel)
            if name == self._environments.serving:
                self._restart_deployments()

        return [
            Step("environment", name, lambda: UNCHANGED if api.get_environment(name) else CREATE, create),
            Step(
                "requirements",
                f"{requirements} in {name}",
                lambda: self._compare(name, "requirements", requirements),
                install_requirements,
            ),
            Step("wheel", f"{wheel} in {name}", lambda: self._compare(name, "wheel", wheel), install_wheel),
        ]

    def _compare(self, environment: str, what: str, wanted: str) -> str:
        """Tell whether the wheel, or the requirements, are what an environment has."""
        present = self._project.get_environment_api().get_environment(environment)
        noted = self._noted(environment) if present is not None else {}
        versions = _versions(present)
        if versions is not None and noted.get("wheel") is not None:
            version = versions.get(NAME)
            if version is None or f"-{version}-" not in noted["wheel"]:
                noted = {}  # the environment was made anew, or changed by somebody else
        if noted.get(what) == wanted:
            return UNCHANGED
        return REPLACE if what in noted else CREATE

    def _note_path(self, environment: str) -> str:
        return absolute(self._project, f"{FOLDER}/{environment}.json")

    def _noted(self, environment: str) -> dict[str, str]:
        """Return what was installed into an environment; nothing if that cannot be read."""
        content = definitions.read_file(self._project, self._note_path(environment))
        try:
            noted = json.loads(content or b"{}")
        except ValueError:
            return {}
        return noted if isinstance(noted, dict) else {}

    def _note(self, environment: str, **installed: str) -> None:
        content = json.dumps({**self._noted(environment), **installed}, indent=1).encode()
        self._upload(f"{environment}.json", content)

    def _restart_deployments(self) -> None:
        """Have the deployments that run take up the new code."""
        for deployment in self._project.get_model_serving().get_deployments():
            if deployment.predictor.environment == self._environments.serving and deployment.is_running():
                deployment.stop(await_stopped=_RESTART_SECONDS)
                deployment.start(await_running=_RESTART_SECONDS)

    # -- use cases

    def _use_case_steps(self, name: str) -> list[Step]:
        use_case = usecases.load(name)
        steps = [Step("script", name, lambda: self._compare_script(name), lambda: self._upload_script(name))]
        for stage in use_case.stages:
            steps.append(self._job_step(name, stage))
            if stage in use_case.schedule:
                steps.append(self._schedule_step(name, stage, use_case.schedule[stage]))
        return steps

    def _compare_script(self, name: str) -> str:
        present = definitions.read_file(self._project, definitions.script_path(self._project, name))
        if present is None:
            return CREATE
        return UNCHANGED if present == usecases.script(name).read_bytes() else REPLACE

    def _upload_script(self, name: str) -> None:
        definitions.upload_script(self._project, name)
        make_folder(self._project, f"{definitions.RESULTS}/{name}-scheduled")

    def _job_step(self, name: str, stage: str) -> Step:
        job_name = definitions.job_name(name, stage)
        source = self._source if stage in STAGES else None
        config = definitions.wanted(self._project, name, stage, source, self._environments)

        def look() -> str:
            job = find_job(self._project, job_name)
            if job is None:
                return CREATE
            return REPLACE if definitions.differs(job, config) else UNCHANGED

        return Step("job", job_name, look, lambda: definitions.save_job(self._project, job_name, config))

    def _schedule_step(self, name: str, stage: str, cron: str) -> Step:
        """One that is there and says the same stays as it is, also if somebody has paused it."""
        job_name = definitions.job_name(name, stage)

        def look() -> str:
            job = find_job(self._project, job_name)
            if job is None or job.job_schedule is None:
                return CREATE
            return UNCHANGED if job.job_schedule.cron_expression == cron else REPLACE

        def act() -> None:
            job = find_job(self._project, job_name)
            if job is not None:
                job.schedule(cron)

        return Step("schedule", f"{job_name} {cron}", look, act)

    # -- files

    def _upload(self, name: str, content: bytes) -> str:
        """Put a file into the deployment's folder, in place of one of the same name; return its path."""
        make_folder(self._project, FOLDER)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / name
            file.write_bytes(content)
            return absolute(self._project, self._datasets.upload(str(file), FOLDER, overwrite=True))


def _versions(environment: Any | None) -> dict[str, str] | None:
    """Return the versions of an environment's libraries, if the platform lists them with it."""
    listed = getattr(environment, "_libraries", None)
    if not isinstance(listed, dict) or not listed.get("items"):
        return None
    return {str(item.get("library")): str(item.get("version")) for item in listed["items"]}


@contextlib.contextmanager
def _quiet() -> Any:
    """Keep what the client prints to itself: addresses of jobs, hints."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
