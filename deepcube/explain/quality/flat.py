"""Explanations as plain matrices, which scores are computed on."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from deepcube.explain.errors import InputError
from deepcube.explain.models import Array, ModelAdapter


@dataclass(frozen=True)
class Flat:
    """An explanation with every input laid out in a row.

    Attributes
    ----------
    x, x0 : numpy.ndarray of float, shape (n, elements)
        Inputs and their baselines.
    phi : numpy.ndarray of float64, shape (n, outputs, elements)
        Attributions.
    predictions, base_values : numpy.ndarray of float64, shape (n, outputs)
        Outputs at the inputs, and what they are compared with.
    shape : tuple of int
        Shape of one input as the model takes it.
    """

    x: Array
    x0: Array
    phi: Array
    predictions: Array
    base_values: Array
    shape: tuple[int, ...]

    @classmethod
    def of(cls, explanation: xr.Dataset) -> "Flat":
        """Lay out an explanation.

        Parameters
        ----------
        explanation : xarray.Dataset
            As returned by :func:`deepcube.explain.explain`.

        Raises
        ------
        InputError
            If it has no baseline to perturb towards, or is no explanation of single predictions.
        """
        missing = [name for name in ("attribution", "input", "prediction", "base_value") if name not in explanation]
        if missing:
            raise InputError(f"Found no {', '.join(missing)} in the explanation; expected attributions of predictions.")
        if "baseline" not in explanation:
            raise InputError("Found an explanation without a baseline; scores replace inputs by it. Give a background.")
        x, x0 = explanation["input"].values, explanation["baseline"].values
        phi = explanation["attribution"].values.astype(np.float64)
        return cls(
            x.reshape(len(x), -1),
            x0.reshape(len(x), -1),
            phi.reshape(*phi.shape[:2], -1),
            explanation["prediction"].values.astype(np.float64),
            explanation["base_value"].values.astype(np.float64),
            x.shape[1:],
        )

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Return every instance with every output."""
        return [(i, k) for i in range(self.phi.shape[0]) for k in range(self.phi.shape[1])]

    def predict(self, model: ModelAdapter, rows: Array) -> Array:
        """Return the outputs (rows, outputs) of the model at inputs (rows, elements)."""
        return model.predict(rows.reshape(len(rows), *self.shape))
