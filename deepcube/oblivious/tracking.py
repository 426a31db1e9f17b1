"""Trackers follow runs from outside: MLflow in a local folder."""

import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from deepcube.oblivious.errors import TrackingError
from deepcube.oblivious.outcome import Outcome
from deepcube.oblivious.reporter import Step

_STATUS = {"FINISHED": "FINISHED", "EARLY_STOPPED": "FINISHED", "FAILED": "FAILED", "KILLED": "KILLED"}
_BATCH = 50
_LARGEST_BATCH = 900
_LONGEST_PARAM = 6000


class Tracker(Protocol):
    """What a driver tells about a run."""

    def start(self, name: str, params: Mapping[str, Any]) -> dict[str, str]:
        """Begin a run and return where it is kept, for the run's record."""
        ...

    def log_step(self, step: Step, metric_name: str) -> None:
        """Take one reported step."""
        ...

    def log_trial(self, name: str, outcome: Outcome, metric_name: str) -> None:
        """Take a finished trial of the run, with its steps."""
        ...

    def finish(self, state: str, metrics: Mapping[str, float]) -> None:
        """End the run with its final metrics."""
        ...


class MlflowTracker:
    """Tracks each run as an MLflow run in an sqlite database of a folder.

    Uses MLflow's client without its global "active run", so that several experiments may run in one process. As a
    context manager it opens a run of its own, and the runs started inside become its children, which is how MLflow's
    page shows seeds or trials of one experiment:

    >>> with MlflowTracker(folder, "drought") as parent:               # doctest: +SKIP
    ...     experiment.lagom(train_fn, SingleRunConfig(tracker=parent))

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the database ``mlflow.db`` and of the artifacts; created if missing.
    experiment : str
        Name of the MLflow experiment.
    tags : mapping of str to Any, optional
        Tags of every run, for example the feature view and the training dataset version.
    name : str, optional
        Name of the parent run when used as a context manager.

    Attributes
    ----------
    uri : str
        Where MLflow finds the database: ``mlflow ui --backend-store-uri URI`` shows it.
    """

    def __init__(
        self, folder: Path, experiment: str, tags: Mapping[str, Any] | None = None, name: str | None = None
    ) -> None:
        from mlflow import MlflowClient  # seconds to import: paid only by those who track

        self.folder = folder.expanduser().resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.uri = f"sqlite:///{self.folder / 'mlflow.db'}"
        self.tags = {key: str(value) for key, value in (tags or {}).items()}
        self._current: str | None = None
        self._parent: str | None = None
        self._name = name or experiment
        self._client = MlflowClient(tracking_uri=self.uri)
        self._experiment_id = self._experiment(experiment)
        self._pending: list[Any] = []

    @property
    def run_id(self) -> str:
        """Identifier of the parent run if used as a context manager, else of the latest run.

        Raises
        ------
        TrackingError
            If no run has begun.
        """
        return _started(self._parent or self._current)

    def start(self, name: str, params: Mapping[str, Any]) -> dict[str, str]:
        """Begin an MLflow run, below the parent if there is one.

        Parameters
        ----------
        name : str
            Name of the run.
        params : mapping of str to Any
            Hyperparameters and seed.

        Returns
        -------
        dict of str to str
            ``mlflow_run_id`` and ``mlflow_uri``.
        """
        from mlflow.entities import Param

        tags = dict(self.tags)
        if self._parent:
            tags["mlflow.parentRunId"] = self._parent
        run_id = self._client.create_run(self._experiment_id, tags=tags, run_name=name).info.run_id
        self._client.log_batch(run_id, params=[Param(k, str(v)[:_LONGEST_PARAM]) for k, v in params.items()])
        self._current = run_id
        return {"mlflow_run_id": run_id, "mlflow_uri": self.uri}

    def log_step(self, step: Step, metric_name: str) -> None:
        """Log one step; steps reach the database in batches.

        Parameters
        ----------
        step : Step
            The reported step.
        metric_name : str
            Name of the watched metric, under which its value is logged.
        """
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        values = {**step.metrics, metric_name: step.metric}
        self._pending += [Metric(name, value, now, step.step) for name, value in values.items()]
        if len(self._pending) >= _BATCH:
            self._flush()

    def log_trial(self, name: str, outcome: Outcome, metric_name: str) -> None:
        """Log a trial as a nested run of the current one.

        Parameters
        ----------
        name : str
            Name of the run.
        outcome : Outcome
            How the trial ended.
        metric_name : str
            Name of the watched metric.
        """
        from mlflow.entities import Metric, Param

        tags = {**self.tags, "mlflow.parentRunId": _started(self._current)}
        run_id = self._client.create_run(self._experiment_id, tags=tags, run_name=name).info.run_id
        now = int(time.time() * 1000)
        steps = [Metric(metric_name, value, now, int(step)) for step, value in outcome.history]
        finals = [Metric(f"final_{key}", value, now, 0) for key, value in outcome.metrics.items()]
        params = [Param(key, str(value)[:_LONGEST_PARAM]) for key, value in outcome.hparams.items()]
        self._client.log_batch(run_id, params=params)
        for start in range(0, len(steps + finals), _LARGEST_BATCH):
            self._client.log_batch(run_id, metrics=(steps + finals)[start : start + _LARGEST_BATCH])
        self._client.set_terminated(run_id, "FINISHED" if outcome.error is None else "FAILED")

    def finish(self, state: str, metrics: Mapping[str, float]) -> None:
        """End the run.

        Parameters
        ----------
        state : str
            State of the run's record.
        metrics : mapping of str to float
            Final values, logged with the prefix ``final_`` beside the step values.
        """
        self._flush()
        run_id = _started(self._current)
        for name, value in metrics.items():
            self._client.log_metric(run_id, f"final_{name}", value)
        self._client.set_terminated(run_id, _STATUS[state])

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Log values of the parent run, or of the latest one outside a context."""
        for name, value in metrics.items():
            self._client.log_metric(self.run_id, name, value)

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Tag the parent run, or the latest one outside a context, for example with the registered model version."""
        for key, value in tags.items():
            self._client.set_tag(self.run_id, key, str(value))

    def log_artifact(self, path: Path) -> None:
        """Copy a file, for example a figure, to the artifacts of the parent run."""
        self._client.log_artifact(self.run_id, str(path))

    def __enter__(self) -> Self:
        self.start(self._name, {})
        self._parent = self._current
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.set_terminated(self.run_id, "FAILED" if kind else "FINISHED")
        self._current, self._parent = self._parent, None

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        return str(self._client.create_experiment(name, artifact_location=(self.folder / "artifacts").as_uri()))

    def _flush(self) -> None:
        if self._pending:
            self._client.log_batch(_started(self._current), metrics=self._pending)
            self._pending = []


def _started(run_id: str | None) -> str:
    if run_id is None:
        raise TrackingError("Found no run to log to; expected one begun by an experiment or by `with tracker:`.")
    return run_id
