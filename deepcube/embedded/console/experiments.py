"""The pages of experiments: studies, their trials, learning curves and parallel coordinates.

Jobs keep their trials in an MLflow database in the home folder. It is read, never written, and without the MLflow
library, whose import would take longer than the page.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from starlette.responses import Response

from deepcube.embedded.console.pages import Page, Pages
from deepcube.embedded.console.trialcharts import learning_curves, parallel_coordinates
from deepcube.embedded.errors import GENERIC_ILLEGAL_ARGUMENT, not_found

pages = Pages("/{project_id:int}/experiments", "experiments")

MAX_STUDIES = 100
MAX_TRIALS = 200
_PARENT, _NAME = "mlflow.parentRunId", "mlflow.runName"
_OWN_TAGS = "mlflow."


@dataclass
class Run:
    """One run of an experiment: a study, or a trial of one.

    Attributes
    ----------
    id, name, status : str
        What MLflow calls it.
    started, ended : int or None
        Milliseconds since 1970 (UTC).
    tags, params : dict of str to str
        What was noted of it, and what it was run with.
    metrics : dict of str to float
        Last value of each metric.
    history : dict of str to list of (step, value)
        All values of the metrics that have several.
    trials : list of Run
        Runs below it.
    """

    id: str
    name: str
    status: str
    started: int | None
    ended: int | None
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    history: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    trials: list[Run] = field(default_factory=list)

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it runs."""
        return None if self.started is None or self.ended is None else (self.ended - self.started) / 1000

    @property
    def facts(self) -> dict[str, str]:
        """Its tags but for those that MLflow sets."""
        return {key: value for key, value in self.tags.items() if not key.startswith(_OWN_TAGS)}


@pages.get()
def experiments(page: Page) -> Response:
    """List the newest studies."""
    return page.html("experiments.html", studies=read_studies(_database(page)), limit=MAX_STUDIES)


@pages.get("/{run}")
def experiment(page: Page) -> Response:
    """Show one study: its trials in a table, their learning curves, and what they were run with beside how they did."""
    wanted = page.path["run"]
    found = next((study for study in read_studies(_database(page), wanted) if study.id == wanted), None)
    if found is None:
        raise not_found(f"no study {wanted!r} in this home folder", GENERIC_ILLEGAL_ARGUMENT)
    trials = found.trials[:MAX_TRIALS] or [found]
    metrics = shared_metrics(trials)
    metric = page.parameter("metric") if page.parameter("metric") in metrics else next(iter(metrics), "")
    varied = varied_params(trials)
    return page.html(
        "experiment.html",
        study=found,
        trials=trials,
        metrics=metrics,
        metric=metric,
        varied=varied,
        curves=learning_curves([(trial.name, trial.history.get(metric, [])) for trial in trials], metric),
        parallel=parallel_coordinates([trial.params for trial in trials], varied, _values(trials, metric), metric),
    )


def _values(trials: Iterable[Run], metric: str) -> list[float | None]:
    return [trial.metrics.get(metric) for trial in trials]


def shared_metrics(trials: Sequence[Run]) -> list[str]:
    """Return the metrics of the trials: first those with a course over steps, then those that most trials have."""
    counts: dict[str, int] = {}
    for trial in trials:
        for name in trial.metrics:
            counts[name] = counts.get(name, 0) + 1
    courses = {name for trial in trials for name in trial.history}
    return sorted(counts, key=lambda name: (name not in courses, "validation" not in name, -counts[name], name))


def varied_params(trials: Sequence[Run]) -> list[str]:
    """Return the parameters that differ between trials, in the order of their names."""
    names = sorted({name for trial in trials for name in trial.params})
    return [name for name in names if len({trial.params.get(name) for trial in trials}) > 1]


def _database(page: Page) -> Path | None:
    """Return the database; None for other projects than the first: MLflow knows none, and their members are others."""
    is_first = page.project.name == page.platform.settings.project
    return page.platform.home.root / "mlflow" / "mlflow.db" if is_first else None


def read_studies(path: Path | None, wanted: str | None = None) -> list[Run]:
    """Read the newest studies with their trials.

    Parameters
    ----------
    path : pathlib.Path or None
        Database of MLflow; one that is missing, or is none, holds no studies.
    wanted : str, optional
        Id of a study of which metrics are read with their courses; without, only the list is read.

    Returns
    -------
    list of Run
        The newest first.
    """
    if path is None or not path.is_file():
        return []
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=2)) as database:
            return _studies(database, wanted)
    except sqlite3.Error:
        return []


def _studies(database: sqlite3.Connection, wanted: str | None) -> list[Run]:
    query = "SELECT run_uuid, name, status, start_time, end_time FROM runs WHERE lifecycle_stage = 'active'"
    runs = {row[0]: Run(row[0], row[1] or "", row[2] or "", row[3], row[4]) for row in database.execute(query)}
    for run, key, value in database.execute("SELECT run_uuid, key, value FROM tags"):
        if run in runs:
            runs[run].tags[key] = value
    roots: list[Run] = []
    for each in runs.values():
        each.name = each.tags.get(_NAME, each.name) or each.id[:8]
        parent = runs.get(each.tags.get(_PARENT, ""))
        (roots if parent is None else parent.trials).append(each)
    roots.sort(key=lambda each: -(each.started or 0))
    for root in roots:
        root.trials.sort(key=lambda each: (each.started or 0, each.name))
        if root.id == wanted:
            _fill(database, {each.id: each for each in (root, *root.trials)})
    return roots if wanted else roots[:MAX_STUDIES]


def _fill(database: sqlite3.Connection, runs: Mapping[str, Run]) -> None:
    """Read parameters and metrics of some runs."""
    marks = ",".join("?" * len(runs))
    for run, key, value in database.execute(
        f"SELECT run_uuid, key, value FROM params WHERE run_uuid IN ({marks})", list(runs)
    ):
        runs[run].params[key] = value
    courses: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for run, key, step, value in database.execute(
        f"SELECT run_uuid, key, step, value FROM metrics WHERE is_nan = 0 AND run_uuid IN ({marks}) ORDER BY step",
        list(runs),
    ):
        if math.isfinite(value):
            courses.setdefault((run, key), []).append((step, value))
    for (run, key), course in courses.items():
        runs[run].metrics[key] = course[-1][1]
        if len(course) > 1:
            runs[run].history[key] = course
