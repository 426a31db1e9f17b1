"""A drought model ready to use: forecasts and their explanations, the same in batch and behind an endpoint."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import xarray as xr

from deepcube.explain import TracedModel, integrated_gradients
from deepcube.oblivious import Signature, load_artifact
from features import drought

NORMAL_CONDITIONS = (
    "normal conditions at the same place and season: NDVI observed at every step and equal to its climatology"
)
"""What an explanation compares with."""

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

    def explain(self, inputs: pd.DataFrame) -> xr.Dataset:
        """Attribute forecasts to their inputs by Integrated Gradients.

        Parameters
        ----------
        inputs : pandas.DataFrame
            One row per forecast, with a column for every model input.

        Returns
        -------
        xarray.Dataset
            Attributions against :data:`NORMAL_CONDITIONS`; dims (instance, output, feature). They say why the forecast
            departs from what the model expects of a normal year.
        """
        names = self.signature.inputs
        return integrated_gradients(
            self._network,
            self._labelled(inputs[names]),
            self._labelled(normal_conditions(inputs[names])),
            outputs=self.signature.outputs,
            output_units=self.signature.output_units,
            baseline_meaning=NORMAL_CONDITIONS,
        )

    def warm_up(self) -> None:
        """Make the first forecast and explanation, so that no request waits for what is loaded and traced only once."""
        zeros = pd.DataFrame(0.0, index=[0], columns=self.signature.inputs)
        self.forecast(zeros)
        self.explain(zeros)

    def _labelled(self, table: pd.DataFrame) -> xr.DataArray:
        units = [self.signature.input_units[name] for name in self.signature.inputs]
        coords = {"feature": self.signature.inputs, "units": ("feature", units)}
        return xr.DataArray(table.to_numpy(np.float32), dims=("instance", "feature"), coords=coords)


def normal_conditions(inputs: pd.DataFrame) -> pd.DataFrame:
    """Return the same places and dates as if everything had been normal and observed.

    Parameters
    ----------
    inputs : pandas.DataFrame
        Model inputs.

    Returns
    -------
    pandas.DataFrame
        A copy without anomalies and gaps, the last observation being the climatology of now; climatology and season
        stay as they are.
    """
    normal = inputs.copy()
    normal[_lagged("ndvi_anomaly_lag")] = 0.0
    normal[_lagged("gap_lag")] = 0.0
    normal[drought.PERSISTENCE] = normal["ndvi_climatology_now"]
    normal["steps_since_observation"] = 0.0
    return normal


def _lagged(name: str) -> Sequence[str]:
    return [f"{name}_{lag}" for lag in drought.LAGS]
