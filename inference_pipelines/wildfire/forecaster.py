"""A wildfire model ready to use: danger and its explanations, the same in batch and behind an endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import xarray as xr

import features.wildfire.trees  # noqa: F401  (registers the layer of trees, which loading needs)
from deepcube.explain import ExplainOptions, ServedExplainer, TracedModel, explain
from deepcube.oblivious import Signature, load_artifact
from features.wildfire.usual import OUTPUT, USUAL, explained_model, explaining_methods, labelled, usual_conditions

PROBABILITY, SPREAD, CLASS = "fire_probability", "probability_spread", "danger_class"
"""Columns of a forecast: probability of fire, half the width of its range over the seeds, and the danger class."""

CLASSES = ("low", "moderate", "high", "very high", "extreme")
"""Classes of danger, by how many times likelier fire is than on an ordinary cell-day of training."""

LIMITS = (1.0, 4.0, 15.0, 50.0)
"""Where the classes after the first begin, in times the base rate."""

_CHUNK = 8192


class Forecaster:
    """A wildfire model with its signature.

    Parameters
    ----------
    network : keras.Model
        From inputs (rows, inputs) to log-odds and their spread over the seeds, (rows, 2).
    signature : Signature
        Names, units and lineage.
    """

    def __init__(self, network: Any, signature: Signature) -> None:
        self.signature = signature
        self._network = TracedModel(network)
        self._explained = explained_model(network, signature.inputs)
        self.methods = explaining_methods(network)
        self._means: dict[str, float] = signature.details["means"]
        self.explainer = ServedExplainer(
            self._explained, outputs=[OUTPUT], output_units="1", baseline_meaning=USUAL, methods=self.methods
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load the model that the training pipeline saved.

        Raises
        ------
        deepcube.oblivious.ArtifactError
            If the folder does not hold a model, or another kind of model.
        """
        return cls(*load_artifact(folder))

    @property
    def cube(self) -> str:
        """Name of the cube or table that the model was trained on."""
        return str(self.signature.details["cube"])

    @property
    def simulated(self) -> bool:
        """Whether that cube is simulated."""
        return bool(self.signature.details.get("simulated", False))

    @property
    def shown(self) -> str:
        """Name of the cube as figures show it: simulated ones say so."""
        return f"{self.cube} (simulated)" if self.simulated else self.cube

    @property
    def alarm(self) -> float:
        """Probability from which on alarms caught nine tenths of the fires of validation."""
        return float(self.signature.details["calibration"]["alarm"])

    def filled(self, inputs: pd.DataFrame) -> pd.DataFrame:
        """Return inputs whose gaps are filled by the means over the training cell-days, as in training."""
        return inputs[self.signature.inputs].astype(float).fillna(self._means)

    def forecast(self, inputs: pd.DataFrame) -> pd.DataFrame:
        """Forecast danger.

        Parameters
        ----------
        inputs : pandas.DataFrame
            One row per forecast, with a column for every model input; gaps are filled.

        Returns
        -------
        pandas.DataFrame
            ``fire_probability`` (unit 1), ``probability_spread`` (half the difference between the probabilities one
            standard deviation over the seeds above and below in log-odds) and ``danger_class``; index as the inputs.
        """
        x = self.filled(inputs).to_numpy(np.float32)
        chunks = [np.asarray(self._network(x[start : start + _CHUNK])) for start in range(0, len(x), _CHUNK)]
        odds, spread = (np.concatenate(chunks) if chunks else np.empty((0, 2))).astype(float).T
        probability = _probability(odds)
        width = (_probability(odds + spread) - _probability(odds - spread)) / 2
        return pd.DataFrame(
            {PROBABILITY: probability, SPREAD: width, CLASS: self.classes(probability)}, index=inputs.index
        )

    def classes(self, probability: np.ndarray) -> np.ndarray:
        """Return the danger class of each probability."""
        limits = np.array(LIMITS) * float(self.signature.details["base_rate"])
        return np.array(CLASSES, dtype=object)[np.searchsorted(limits, probability, side="right")]

    def explain(self, inputs: pd.DataFrame) -> xr.Dataset:
        """Attribute log-odds of fire to the inputs, by the model's best method.

        Parameters
        ----------
        inputs : pandas.DataFrame
            One row per forecast.

        Returns
        -------
        xarray.Dataset
            Attributions against :data:`features.wildfire.usual.USUAL`, dims (instance, output, feature), with the
            coordinates ``variable`` and ``group``.
        """
        table, baseline = self._pair(inputs)
        return explain(
            self._explained,
            table,
            self.methods[0],
            baseline=baseline,
            baseline_meaning=USUAL,
            outputs=[OUTPUT],
            output_units="1",
        )

    def answer(
        self, inputs: pd.DataFrame, options: ExplainOptions, *, since: float | None = None
    ) -> list[dict[str, Any]]:
        """Explain forecasts as a request wants it, within its time budget.

        Parameters
        ----------
        inputs : pandas.DataFrame
            One row per forecast.
        options : ExplainOptions
            What the request wants.
        since : float, optional
            When the budget began to run, by ``time.perf_counter()``; now, without.

        Returns
        -------
        list of dict
            One explanation per row; see :meth:`deepcube.explain.ServedExplainer.explain`.
        """
        return self.explainer.explain(*self._pair(inputs), options, since=since)

    def warm_up(self) -> None:
        """Forecast and explain once, so that no request waits for what is loaded, traced and measured only once."""
        row = pd.DataFrame([self._means])[self.signature.inputs]
        self.forecast(row)
        table, baseline = self._pair(row)
        self.explainer.warm_up(table + 0.1, baseline)

    def _pair(self, inputs: pd.DataFrame) -> tuple[xr.DataArray, xr.DataArray]:
        table = self.filled(inputs)
        names = self.signature.inputs
        return labelled(table, names), labelled(usual_conditions(table, self._means), names)


def _probability(odds: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(odds, -60, 60))))
