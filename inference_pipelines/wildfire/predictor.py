"""The script that a deployment runs: danger of fire and its explanation over HTTP.

It is uploaded alone, so everything else comes from the installed package. A request is ``{"instances": [...]}`` with
instances of these kinds, alone or mixed:

- ``{"cube": "simulated_firecube", "cell_id": 42}``: the newest features of a cell, read from the online store;
- ``{"tmax_lag_0": 31.5, ...}``: a value for every model input, by name; null where nothing was observed, but not for a
  whole history;
- ``[31.5, ...]``: the same in the model's order.

Each is answered with ``{"fire_probability": ..., "probability_spread": ..., "danger_class": ...}``. With
``"explain": true`` beside ``instances``, or in an instance, the answer is ``{"prediction": {...}, "inputs": {...},
"explanation": {...}}``, the explanation being of the log-odds of fire, with ``by_variable`` and ``by_group`` summing up
what belongs together, and ``"simulated": true`` if the model was trained on a simulated cube. Instead of true,
``{"method": "kernel_shap", "scores": true, "budget_seconds": 2}`` chooses how; see
:class:`deepcube.explain.ExplainOptions`. What the time budget did not allow is listed in the answer.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from deepcube.explain import ExplainOptions
from deepcube.oblivious import InstanceError, Signature
from features.wildfire import Layout, group_of, quantity_of
from features.wildfire.usual import OUTPUT
from inference_pipelines.endpoint import OnlineFeatures, answered, split_options
from inference_pipelines.wildfire.forecaster import Forecaster


class Predict:
    """Loads the model that the platform put in ``$MODEL_FILES_PATH`` and answers requests."""

    def __init__(self) -> None:
        self._forecaster = Forecaster.load(Path(os.environ["MODEL_FILES_PATH"]))
        self._forecaster.warm_up()
        self._online = CellFeatures(self._forecaster.signature, self._forecaster.cube)
        self._online.connect()

    def predict(self, inputs: list[Any], **options: Any) -> list[dict[str, Any]]:
        """Answer the instances of one request.

        Parameters
        ----------
        inputs : list of dict or list
            The instances.
        **options : Any
            Further keys of the request; ``explain`` asks for an explanation of every instance. The budget is for the
            whole request and runs from when it came.

        Returns
        -------
        list of dict
            One answer per instance, in order.

        Raises
        ------
        deepcube.oblivious.InstanceError, deepcube.explain.ExplainError
            If an instance or an option does not fit (a ``ValueError``: the server answers with status 400).
        """
        arrived = time.perf_counter()
        instances, explain = split_options(self._forecaster.explainer, inputs, options.get("explain", False))
        table = read_instances(self._forecaster.signature, self._online.resolve(instances))
        forecasts: list[dict[str, Any]] = [dict(row) for _, row in self._forecaster.forecast(table).iterrows()]

        def explained(rows: pd.DataFrame, wanted: ExplainOptions) -> list[dict[str, Any]]:
            return [_summed(one) for one in self._forecaster.answer(rows, wanted, since=arrived)]

        filled = self._forecaster.filled(table)
        return answered(forecasts, filled, explain, explained, simulated=self._forecaster.simulated)


def read_instances(signature: Signature, instances: list[Any]) -> pd.DataFrame:
    """Turn instances into model inputs, refusing what cannot be.

    Parameters
    ----------
    signature : deepcube.oblivious.Signature
        What the model expects.
    instances : list of mapping or of list
        Values by name or in order; null where nothing was observed.

    Returns
    -------
    pandas.DataFrame
        One row per instance; NaN where nothing was observed.

    Raises
    ------
    InstanceError
        If an input is missing or unknown, a value is no number or out of its physical range, or a history is empty.
    """
    whole = [_without_nulls(instance) for instance in instances]
    table = signature.table([values for values, _ in whole])  # refuses wrong shapes and names
    for position, (_, gaps) in enumerate(whole):
        names = [signature.inputs[gap] if isinstance(gap, int) else gap for gap in gaps]
        table.loc[position, names] = math.nan
        _check(table.iloc[position], f"instance {position}", Layout(tuple(signature.inputs)))
    return table


def _without_nulls(instance: Any) -> tuple[Any, list[Any]]:
    """Return an instance with 0 in place of nulls, and the names or positions of those."""
    if isinstance(instance, Mapping):
        gaps = [name for name, value in instance.items() if value is None]
        return {name: 0.0 if value is None else value for name, value in instance.items()}, gaps
    if isinstance(instance, list):
        return [0.0 if value is None else value for value in instance], [
            position for position, value in enumerate(instance) if value is None
        ]
    return instance, []


def _check(row: pd.Series, where: str, layout: Layout) -> None:
    for variable in layout.dynamic:
        if (
            row[[f"{variable}_lag_{lag}" for lag in range(layout.history) if f"{variable}_lag_{lag}" in row]]
            .isna()
            .all()
        ):
            raise InstanceError(
                f"{where}: found no value of {variable} in its whole history of {layout.history} days; expected at "
                "least one. Leave the cell out until it is observed."
            )
    for name, value in row.items():
        known = quantity_of(str(name))
        if value < known.low or value > known.high:
            raise InstanceError(
                f"{where}: found {value:g} for {name}; expected {known.low:g} to {known.high:g} {known.units}, or null."
            )


def _summed(explanation: dict[str, Any]) -> dict[str, Any]:
    """Add sums over lags and neighbours, and over groups of variables, to an explanation."""
    if "attributions" not in explanation:
        return explanation
    by: dict[str, dict[str, float]] = {"by_variable": {}, "by_group": {}}
    for name, value in explanation["attributions"][OUTPUT].items():
        for key, label in (("by_variable", quantity_of(name).name), ("by_group", group_of(name))):
            by[key][label] = by[key].get(label, 0.0) + value
    return explanation | by


class CellFeatures(OnlineFeatures):
    """Reads the newest features of cells; the coarser cell of a cell's weather is looked up once for all.

    Parameters
    ----------
    signature : deepcube.oblivious.Signature
        What the model expects, and of which feature view.
    cube : str
        Name of the model's cube.
    """

    def __init__(self, signature: Signature, cube: str) -> None:
        super().__init__(signature, cube)
        self._weather: dict[int, int] = {}

    def connected(self, store: Any) -> None:
        """Look up the weather's cell of every cell."""
        group = store.get_feature_group("wildfire_targets", 1)
        cells = group.select(["cell_id", "weather_cell"]).filter(group.get_feature("cube") == self.cube).read()
        self._weather = dict(zip(cells["cell_id"].tolist(), cells["weather_cell"].tolist(), strict=True))

    def key(self, cell: int) -> dict[str, Any] | None:
        """Return the serving key of a cell; None if there is no such cell."""
        if cell not in self._weather:
            return None
        return {"cube": self.cube, "cell_id": cell, "weather_cell": self._weather[cell]}

    def usable(self, values: pd.Series) -> bool:
        """Tell whether anything was observed: the model fills gaps."""
        return not values.isna().all()
