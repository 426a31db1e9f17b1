"""Why a prediction is what it is, and what it came from, asked of the platform through the ``hopsworks`` client.

The model's deployment explains the prediction from the inputs that the feature view holds for the same place and time;
the registry and the provenance of the platform tell the lineage. What the platform does not know is said, not guessed.
"""

from __future__ import annotations

import logging
import re
import time as clock
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from deepcube.atlas.atlas import Collection
from deepcube.atlas.errors import RequestError
from deepcube.atlas.evidence import calibration, similar_cases, tell_cases
from deepcube.atlas.layers import Stop, nobody_left
from deepcube.atlas.lineage import chunks, lineage, tried
from deepcube.atlas.predictions import PREDICTED, PredictionTable
from deepcube.atlas.tables import TableLayer
from deepcube.atlas.turns import Turns, go_on

BUDGET_SECONDS = 4.0
"""Time that the deployment may take for an explanation."""

_LAG = re.compile(r"^(?P<name>.+)_(?P<kind>lag|step)_(?P<number>\d+)$")
_ORIGINS = 8  # times whose inputs are remembered
_METRICS = 12
_REMEMBERED_SECONDS = 60.0  # what the platform says of models, lineage and deployments
_PAST = 300_000  # rows of inputs that similar cases are looked for in
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
    opened : callable, optional
        Returns what the atlas shows, for the chunks of the cube that predictions came from.
    turns : Turns, optional
        Shared with all who ask the same client.
    """

    def __init__(
        self,
        project: Any,
        table: PredictionTable,
        opened: Callable[[], Iterable[Collection]] = tuple,
        turns: Turns | None = None,
    ) -> None:
        self._project = project
        self._table = table
        self._opened = opened
        self._past: pd.DataFrame | None = None
        self._known: dict[Any, tuple[float, Any]] = {}
        self._turns = turns or Turns()
        self._inputs: dict[pd.Timestamp, pd.DataFrame] = {}

    def explain(
        self,
        name: str,
        layer: TableLayer,
        place: int,
        step: int,
        truth: TableLayer | None = None,
        stop: Stop = nobody_left,
    ) -> dict[str, Any]:
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
        truth : TableLayer, optional
            What came true, where the platform knows it.
        stop : callable
            Tells whether the client has left.

        Returns
        -------
        dict
            ``value``, ``time``, ``key``; ``model`` (name, version, metrics, url); ``calibration``, as of
            :func:`deepcube.atlas.evidence.calibration`; ``explanation`` (method, baseline, units, base value,
            attributions by variable and lag, scores) or ``missing``, why there is none; ``similar``, past cases with
            what came of them; ``lineage``, artifacts with their addresses, from the model back to chunks of the cube.

        Raises
        ------
        RequestError
            If there is no prediction there.
        StoppedError
            If the client has left.
        """
        times = layer.times
        assert times is not None
        value = float(layer.values[step, place])
        if not np.isfinite(value):
            raise RequestError("There is no prediction at this place and time.")
        time, key = times[step], layer.places.keys[place]
        longitude, latitude = float(layer.places.longitude[place]), float(layer.places.latitude[place])

        def told() -> dict[str, Any]:
            version = self._version(key, time)
            model = self._remembered(("model", version), lambda: tried(lambda: self._model(version)))
            described = self._described(name, value, layer.variable.units, time, key, version, model)
            described["calibration"] = None if truth is None else calibration(layer, truth, value)
            described["lineage"] += chunks(self._opened(), self._table.cube, longitude, latitude, time)
            try:
                view = self._view(model, version)
                inputs = self._row(view, key, time)
                go_on(stop)
                explanation = self._explanation(model, inputs)
                output = name.removeprefix(PREDICTED)
                importance = attributions_of(explanation, output)
                described["explanation"] = read_explanation(explanation, output, inputs)
                go_on(stop)
                cases = tried(lambda: self._similar(view, inputs, importance, time))
                described["similar"] = [] if cases is None else tell_cases(cases, layer, truth)
            except MissingError as missing:
                described["missing"] = str(missing)
            return described

        return self._turns.take(told, stop)

    def _described(
        self, name: str, value: float, units: str, time: pd.Timestamp, key: Any, version: int | None, model: Any
    ) -> dict[str, Any]:
        """Return what is told of every prediction, with lineage and without an explanation yet."""
        found = self._remembered(("lineage", version), lambda: lineage(self._project, self._table, model))
        return {
            "layer": name,
            "value": value,
            "units": units,
            "time": str(time.isoformat()),
            "key": str(key),
            "model": None if model is None else self._about(model),
            "calibration": None,
            "lineage": list(found),
            "explanation": None,
            "missing": None,
            "similar": [],
        }

    def _view(self, model: Any, version: int | None) -> Any:
        """Return the feature view that holds the inputs of a model."""
        if model is None:
            raise MissingError("The registry has no model of this version.")
        view = self._remembered(("view", version), lambda: tried(model.get_feature_view))
        if view is None:
            raise MissingError("The model names no feature view, so its inputs are not known.")
        return view

    def _remembered(self, what: Any, ask: Callable[[], _Found]) -> _Found:
        """Return what the platform answered within the last minute, or ask it: each question takes several calls."""
        known = self._known.get(what)
        if known is None or clock.monotonic() - known[0] > _REMEMBERED_SECONDS:
            known = self._known[what] = (clock.monotonic(), ask())
        answer: _Found = known[1]
        return answer

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

    def _explanation(self, model: Any, instance: Mapping[str, Any]) -> dict[str, Any]:
        deployment = self._remembered(("deployment", model.version), lambda: self._deployment(model))
        options = {"scores": True, "budget_seconds": BUDGET_SECONDS}
        try:
            answer = deployment.predict(data={"instances": [dict(instance)], "explain": options})
            explanation: dict[str, Any] = answer["predictions"][0]["explanation"]
        except Exception as error:
            _log.warning("%s did not explain", deployment.name, exc_info=True)
            raise MissingError(f"The deployment {deployment.name} did not explain: {error}") from error
        return explanation

    def _deployment(self, model: Any) -> Any:
        found = [one for one in self._project.get_model_serving().get_deployments() if one.model_name == model.name]
        if not found:
            raise MissingError(f"Model {model.name} has no deployment that could explain its predictions.")
        same = [one for one in found if int(one.model_version) == int(model.version)]
        if not same:
            versions = ", ".join(str(one.model_version) for one in found)
            raise MissingError(f"Version {model.version} of {model.name} is not deployed; deployed: {versions}.")
        running = [one for one in same if one.is_running(or_idle=True)]
        if not running:
            raise MissingError(f"The deployment {same[0].name} is not running; start it to explain predictions.")
        return running[0]

    def _row(self, view: Any, key: Any, time: pd.Timestamp) -> dict[str, float | None]:
        """Return the inputs of the model for one place and time; None where nothing was observed."""
        if time not in self._inputs:
            while len(self._inputs) >= _ORIGINS:
                del self._inputs[next(iter(self._inputs))]
            self._inputs[time] = self._read(view, time, time + pd.Timedelta(seconds=1))
        rows = self._inputs[time]
        here = rows[(rows["cell_id"] == key) & (rows["time"] == time)]
        if here.empty:
            raise MissingError(f"Feature view {view.name} has no inputs for this place and time any more.")
        values = {name: float(here.iloc[0][name]) for name in _inputs_of(view, rows)}
        return {name: value if np.isfinite(value) else None for name, value in values.items()}

    def _read(self, view: Any, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        """Read inputs with ``cell_id`` and ``time``; joined groups share these, so their names stand before them."""
        rows = view.get_batch_data(
            start_time=start.to_pydatetime(), end_time=end.to_pydatetime(), primary_key=True, event_time=True
        )
        cells = next((column for column in rows.columns if str(column).endswith("cell_id")), None)
        times = next((column for column in rows.columns if str(column).endswith(self._table.time)), None)
        if cells is None or times is None:
            raise MissingError(f"Feature view {view.name} has no cells, so the inputs cannot be found.")
        stamps = pd.to_datetime(rows[times], utc=True).dt.tz_localize(None)
        return rows[_inputs_of(view, rows)].assign(cell_id=rows[cells], time=stamps)

    def _similar(
        self, view: Any, inputs: Mapping[str, float | None], importance: Mapping[str, float], time: pd.Timestamp
    ) -> pd.DataFrame:
        """Return past cases like this one, of those that there are predictions of."""
        if self._past is None:
            times = pd.to_datetime(self._table.rows[self._table.time], utc=True).dt.tz_localize(None)
            counts = times.value_counts().sort_index(ascending=False).cumsum()
            wanted = counts.index[(counts <= _PAST).to_numpy()]
            start = wanted.min() if len(wanted) else times.max()
            self._past = self._read(view, start, times.max())
        before = self._past[self._past["time"] < time]
        return similar_cases(before, list(inputs), inputs, importance) if len(before) else before.head(0)


def _inputs_of(view: Any, rows: pd.DataFrame) -> list[str]:
    """Return the names of a model's inputs: what is neither a label nor there for training only."""
    return [
        feature.name
        for feature in view.features
        if not (feature.label or feature.training_helper_column or feature.inference_helper_column)
        and feature.name in rows
    ]


class MissingError(Exception):
    """There is no explanation; says why."""


def attributions_of(document: Mapping[str, Any], output: str) -> dict[str, float]:
    """Return the attributions of one output by input; of an output that is not there, those of the first."""
    attributions = document["attributions"]
    nested = bool(attributions) and all(isinstance(values, dict) for values in attributions.values())
    if not nested:
        return {str(name): float(value) for name, value in attributions.items()}
    chosen = attributions[output] if output in attributions else next(iter(attributions.values()))
    return {str(name): float(value) for name, value in chosen.items()}


def read_explanation(document: Mapping[str, Any], output: str, inputs: Mapping[str, float | None]) -> dict[str, Any]:
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
    values = attributions_of(document, output)
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
