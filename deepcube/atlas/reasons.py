"""Why a prediction is what it is, and what it came from, asked of the platform through the ``hopsworks`` client.

The model's deployment explains the prediction from the inputs that the feature view holds for the same place and time;
the registry and the provenance of the platform tell the lineage. What the platform does not know is said, not guessed.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from deepcube.atlas.errors import RequestError
from deepcube.atlas.predictions import PREDICTED, PredictionTable
from deepcube.atlas.tables import TableLayer

BUDGET_SECONDS = 4.0
"""Time that the deployment may take for an explanation."""

_LAG = re.compile(r"^(?P<name>.+)_(?P<kind>lag|step)_(?P<number>\d+)$")
_ORIGINS = 8  # times whose inputs are remembered
_METRICS = 12
_log = logging.getLogger(__name__)
_Found = TypeVar("_Found")


class Reasoner:
    """Tells of the predictions of one table.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    table : PredictionTable
        The predictions.
    """

    def __init__(self, project: Any, table: PredictionTable) -> None:
        self._project = project
        self._table = table
        self._asking = threading.Lock()  # the client is not made for several threads
        self._inputs: dict[pd.Timestamp, pd.DataFrame] = {}

    def explain(self, name: str, layer: TableLayer, place: int, step: int) -> dict[str, Any]:
        """Tell why one prediction is what it is.

        Parameters
        ----------
        name : str
            Column of the prediction.
        layer : TableLayer
            Its layer.
        place : int
            Number of the place.
        step : int
            Position on the time axis.

        Returns
        -------
        dict
            ``value``, ``time``, ``key``; ``model`` (name, version, metrics, url); ``explanation`` (method, baseline,
            units, base value, attributions by variable and lag, scores) or ``missing``, why there is none; ``lineage``,
            a list of artifacts with their addresses, from the model back to the cube.

        Raises
        ------
        RequestError
            If there is no prediction there.
        """
        times = layer.times
        assert times is not None
        value = float(layer.values[step, place])
        if not np.isfinite(value):
            raise RequestError("There is no prediction at this place and time.")
        time, key = times[step], layer.places.keys[place]
        with self._asking:
            version = self._version(key, time)
            model = _tried(lambda: self._model(version))
            described = {
                "layer": name,
                "value": value,
                "units": layer.variable.units,
                "time": str(time.isoformat()),
                "key": str(key),
                "model": None if model is None else self._about(model),
                "lineage": self._lineage(model),
            }
            try:
                return described | {"explanation": self._explanation(name, model, key, time), "missing": None}
            except _MissingError as missing:
                return described | {"explanation": None, "missing": str(missing)}

    def _version(self, key: Any, time: pd.Timestamp) -> int | None:
        rows = self._table.rows
        if "model_version" not in rows or "cell_id" not in rows:
            return self._table.model_versions[-1] if self._table.model_versions else None
        stamps = pd.to_datetime(rows[self._table.time], utc=True).dt.tz_localize(None)
        found = rows.loc[(rows["cell_id"] == key) & (stamps == time), "model_version"]
        return int(found.iloc[-1]) if len(found) else None

    def _model(self, version: int | None) -> Any:
        registry = self._project.get_model_registry()
        for name in self._names():
            model = registry.get_model(name, version=version) if version else registry.get_best_model(name, None, None)
            if model is not None:
                return model
        return None

    def _names(self) -> list[str]:
        """Return the names that a model of this table may have: by use case and cube, or by use case."""
        own = [f"{self._table.use_case}_{self._table.cube}"] if self._table.cube else []
        return [*own, self._table.use_case]

    @staticmethod
    def _about(model: Any) -> dict[str, Any]:
        metrics = {
            str(name): float(value)
            for name, value in list((model.training_metrics or {}).items())[:_METRICS]
            if isinstance(value, int | float)
        }
        return {
            "name": model.name,
            "version": model.version,
            "description": str(model.description or ""),
            "metrics": metrics,
            "url": model.get_url(),
        }

    def _lineage(self, model: Any) -> list[dict[str, str]]:
        """Return what the prediction came from, the nearest first."""
        group = self._table.group
        found = [] if model is None else [_artifact("Model", f"{model.name} {model.version}", model.get_url())]
        base = _base(model.get_url()) if model is not None else None
        store = f"{base}/fs/{group.feature_store_id}" if base else ""
        data = _tried(model.get_training_dataset_provenance) if model is not None else None
        view = _tried(model.get_feature_view) if model is not None else None
        address = f"{store}/fv/{view.name}/version/{view.version}" if view is not None and base else ""
        for each in getattr(data, "accessible", None) or []:
            found.append(_artifact("Training dataset", f"{each.name} version {each.version}", address))
        if view is not None:
            found.append(_artifact("Feature view", f"{view.name} {view.version}", address))
            parents = _tried(view.get_parent_feature_groups)
            for parent in getattr(parents, "accessible", None) or []:
                url = f"{store}/fg/{parent.id}" if base else ""
                found.append(_artifact("Feature group", f"{parent.name} {parent.version}", url))
        for stage in ("inference", "training", "features"):
            found += self._executions(f"{self._table.use_case}_{stage}")
        return found

    def _executions(self, name: str) -> list[dict[str, str]]:
        job = _tried(lambda: self._project.get_job_api().get_job(name))
        if job is None:
            return []
        latest = max(_tried(job.get_executions) or [], key=lambda one: one.id, default=None)
        text = name if latest is None else f"{name}, execution {latest.id} of {latest.submission_time}"
        return [_artifact("Job", text, job.get_url())]

    def _explanation(self, name: str, model: Any, key: Any, time: pd.Timestamp) -> dict[str, Any]:
        if model is None:
            raise _MissingError("The registry has no model of this version.")
        deployment = self._deployment(model)
        view = _tried(model.get_feature_view)
        if view is None:
            raise _MissingError("The model names no feature view, so its inputs are not known.")
        inputs = self._row(view, key, time)
        options = {"scores": True, "budget_seconds": BUDGET_SECONDS}
        try:
            answer = deployment.predict(data={"instances": [inputs], "explain": options})
            whole = answer["predictions"][0]
            explanation = whole["explanation"]
        except Exception as error:
            _log.warning("%s did not explain", deployment.name, exc_info=True)
            raise _MissingError(f"The deployment {deployment.name} did not explain: {error}") from error
        return read_explanation(explanation, name.removeprefix(PREDICTED), inputs)

    def _deployment(self, model: Any) -> Any:
        found = [one for one in self._project.get_model_serving().get_deployments() if one.model_name == model.name]
        if not found:
            raise _MissingError(f"Model {model.name} has no deployment that could explain its predictions.")
        same = [one for one in found if int(one.model_version) == int(model.version)]
        if not same:
            versions = ", ".join(str(one.model_version) for one in found)
            raise _MissingError(f"Version {model.version} of {model.name} is not deployed; deployed: {versions}.")
        running = [one for one in same if one.is_running(or_idle=True)]
        if not running:
            raise _MissingError(f"The deployment {same[0].name} is not running; start it to explain predictions.")
        return running[0]

    def _row(self, view: Any, key: Any, time: pd.Timestamp) -> dict[str, float]:
        """Return the inputs of the model for one place and time."""
        if time not in self._inputs:
            start = time.to_pydatetime()
            rows = view.get_batch_data(
                start_time=start, end_time=start + pd.Timedelta(seconds=1), primary_key=True, event_time=True
            )
            while len(self._inputs) >= _ORIGINS:
                del self._inputs[next(iter(self._inputs))]
            self._inputs[time] = rows
        rows = self._inputs[time]
        labels = {feature.name for feature in view.features if feature.label}
        names = [feature.name for feature in view.features if feature.name not in labels and feature.name in rows]
        cells = next((column for column in rows.columns if str(column).endswith("cell_id")), None)
        times = next((column for column in rows.columns if str(column).endswith(self._table.time)), None)
        if cells is None or times is None:
            raise _MissingError(f"Feature view {view.name} has no cells, so the inputs cannot be found.")
        here = rows[(rows[cells] == key) & (pd.to_datetime(rows[times], utc=True) == time.tz_localize("UTC"))]
        if here.empty:
            raise _MissingError(f"Feature view {view.name} has no inputs for this place and time any more.")
        return {name: float(here.iloc[0][name]) for name in names}


class _MissingError(Exception):
    """There is no explanation; says why."""


def read_explanation(document: dict[str, Any], output: str, inputs: dict[str, float]) -> dict[str, Any]:
    """Read the explanation of a deployment for one output.

    Parameters
    ----------
    document : dict
        As :func:`deepcube.explain.attribution.as_dict` writes it, with ``scores`` beside.
    output : str
        Name of the output; of one that is not there, the first is read.
    inputs : dict
        Values of the inputs.

    Returns
    -------
    dict
        ``attributions``: ``name``, ``lag``, ``value`` and ``input`` of each, the largest first.
    """
    attributions = document["attributions"]
    nested = bool(attributions) and all(isinstance(values, dict) for values in attributions.values())
    output = output if not nested or output in attributions else next(iter(attributions))
    values = attributions[output] if nested else attributions
    listed: list[dict[str, Any]] = []
    for name, value in values.items():
        found = _LAG.match(name)
        lag = int(found["number"]) * (1 if found["kind"] == "lag" else -1) if found else None
        variable = found["name"] if found else name
        listed.append(
            {"name": variable.replace("_", " "), "lag": lag, "value": float(value), "input": inputs.get(name)}
        )
    listed.sort(key=lambda one: -abs(one["value"]))

    def of_output(value: Any) -> Any:
        return value.get(output) if isinstance(value, dict) and output in value else value

    scores = {
        str(name): score
        for name, value in {
            "completeness_error": document.get("completeness_error"),
            **(document.get("scores") or {}),
        }.items()
        if isinstance(score := of_output(value), int | float)
    }
    return {
        "output": output,
        "method": str(document.get("method", "")),
        "baseline": str(document.get("baseline", "")),
        "units": str(document.get("units", "")),
        "baseValue": of_output(document.get("base_value")),
        "attributions": listed,
        "scores": scores,
        "leftOut": [str(each) for each in document.get("left_out", [])],
    }


def _artifact(kind: str, name: str, url: str) -> dict[str, str]:
    return {"kind": kind, "name": name, "url": url if url.startswith(("https://", "http://")) else ""}


def _base(url: str) -> str | None:
    """Return the part of an address of the platform's pages that ends with the project."""
    found = re.match(r"https?://[^/]+/p/\d+", url)
    return None if found is None else found[0]


def _tried(ask: Callable[[], _Found]) -> _Found | None:
    """Return what the client answers, or None where it raises: it has many kinds of errors for what is not there."""
    try:
        return ask()
    except Exception:
        _log.debug("the platform did not answer", exc_info=True)
        return None
