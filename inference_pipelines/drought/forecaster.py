"""A drought model ready to use: forecasts and their explanations, the same in batch and behind an endpoint."""

from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import xarray as xr

from deepcube.explain import ExplainOptions, ServedExplainer, TracedModel, as_inputs, explain
from deepcube.oblivious import Signature, load_artifact
from features.drought import possible_range
from features.drought.normal import NORMAL_CONDITIONS, normal_conditions, normal_meaning

__all__ = ["METHODS", "NORMAL_CONDITIONS", "Forecaster", "normal_conditions"]

METHODS = ("integrated_gradients", "gradient_x_input", "kernel_shap")
"""Methods that explain a forecast, the default first."""

_CHUNK = 8192


class Forecaster:
    """A drought model with its signature.

    Parameters
    ----------
    network : keras.Model
        From inputs (rows, features) to NDVI (rows, horizons).
    signature : Signature
        Names, units and lineage.
    """

    def __init__(self, network: Any, signature: Signature) -> None:
        self.signature = signature
        self._network = TracedModel(network)
        self.explainer = ServedExplainer(
            self._network,
            outputs=signature.outputs,
            output_units=signature.output_units,
            baseline_meaning=normal_meaning(signature.inputs),
            methods=METHODS,
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load the model that the training pipeline saved.

        Parameters
        ----------
        folder : pathlib.Path
            Folder of the model's files.

        Raises
        ------
        deepcube.oblivious.ArtifactError
            If it does not hold a model, or another kind of model.
        """
        return cls(*load_artifact(folder))

    @property
    def cube(self) -> str:
        """Name of the cube that the model was trained on."""
        return str(self.signature.details["cube"])

    @property
    def simulated(self) -> bool:
        """Whether that cube is simulated."""
        return bool(self.signature.details.get("simulated", False))

    @property
    def shown(self) -> str:
        """Name of the cube as figures show it: simulated ones say so."""
        return f"{self.cube} (simulated)" if self.simulated else self.cube

    def forecast(self, inputs: pd.DataFrame) -> pd.DataFrame:
        """Forecast NDVI.

        Parameters
        ----------
        inputs : pandas.DataFrame
            One row per forecast, with a column for every model input.

        Returns
        -------
        pandas.DataFrame
            NDVI (unit 1) at each horizon, columns as the model's outputs, index as the inputs.
        """
        x = inputs[self.signature.inputs].to_numpy(np.float32)
        chunks = [np.asarray(self._network(x[start : start + _CHUNK])) for start in range(0, len(x), _CHUNK)]
        values = np.concatenate(chunks) if chunks else np.empty((0, len(self.signature.outputs)))
        return pd.DataFrame(values.astype(float), columns=self.signature.outputs, index=inputs.index)

    def check(self, inputs: pd.DataFrame) -> None:
        """Refuse inputs that cannot be, such as an NDVI of 5.

        Raises
        ------
        deepcube.explain.InputError
            If a value lies outside what is physically possible; the message says which and where.
        """
        as_inputs(self._labelled(inputs))

    def explain(self, inputs: pd.DataFrame, method: str = METHODS[0], *, scores: bool = False) -> xr.Dataset:
        """Attribute forecasts to their inputs.

        Parameters
        ----------
        inputs : pandas.DataFrame
            One row per forecast, with a column for every model input.
        method : str
            One of :data:`METHODS`.
        scores : bool
            Whether to measure the quality of the attributions.

        Returns
        -------
        xarray.Dataset
            Attributions against :data:`NORMAL_CONDITIONS`; dims (instance, output, feature). They say why the forecast
            departs from what the model expects of a normal year.
        """
        return explain(
            self._network,
            self._labelled(inputs),
            method,
            baseline=self._labelled(normal_conditions(inputs)),
            outputs=self.signature.outputs,
            output_units=self.signature.output_units,
            baseline_meaning=normal_meaning(self.signature.inputs),
            scores=scores,
        )

    def answer(
        self, inputs: pd.DataFrame, options: ExplainOptions, *, since: float | None = None
    ) -> list[dict[str, Any]]:
        """Explain forecasts as a request wants it, within its time budget.

        Parameters
        ----------
        inputs : pandas.DataFrame
            One row per forecast, with a column for every model input.
        options : ExplainOptions
            What the request wants.
        since : float, optional
            When the budget began to run, by ``time.perf_counter()``; now, without.

        Returns
        -------
        list of dict
            One explanation per row; see :meth:`deepcube.explain.ServedExplainer.explain`.
        """
        baseline = self._labelled(normal_conditions(inputs))
        return self.explainer.explain(self._labelled(inputs), baseline, options, since=since)

    def warm_up(self) -> None:
        """Forecast and explain once, so that no request waits for what is loaded, traced and measured only once."""
        row = pd.DataFrame(0.1, index=[0], columns=self.signature.inputs)
        self.forecast(row)
        self.explainer.warm_up(self._labelled(row), self._labelled(normal_conditions(row)))

    def _labelled(self, table: pd.DataFrame) -> xr.DataArray:
        names = self.signature.inputs
        low, high = zip(*map(possible_range, names), strict=True)
        coords = {
            "feature": names,
            "units": ("feature", [self.signature.input_units[name] for name in names]),
            "valid_min": ("feature", list(low)),
            "valid_max": ("feature", list(high)),
        }
        return xr.DataArray(
            table[self.signature.inputs].to_numpy(np.float32), dims=("instance", "feature"), coords=coords
        )
