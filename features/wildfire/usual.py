"""What is usual at a place: the reference that wildfire explanations compare with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from features.wildfire.layout import Layout, group_of, quantity_of, units_of

if TYPE_CHECKING:
    import xarray as xr

USUAL = "the same place on a usual day: weather, fuel, vegetation and season at their means over the training cell-days"
"""What an explanation compares with."""

OUTPUT = "log_odds"
"""What is explained: the natural logarithm of the odds of fire, in which causes add up; its unit is 1."""


def usual_conditions(inputs: pd.DataFrame, means: Mapping[str, float]) -> pd.DataFrame:
    """Return the same places on a usual day.

    Parameters
    ----------
    inputs : pandas.DataFrame
        Model inputs.
    means : mapping of str to float
        Mean of every input over the training cell-days.

    Returns
    -------
    pandas.DataFrame
        A copy in which everything that changes from day to day has its mean; what never changes stays.
    """
    usual = inputs.copy()
    for name in Layout(tuple(inputs.columns)).changing():
        usual[name] = means[name]
    return usual


def labelled(table: pd.DataFrame, names: Sequence[str]) -> xr.DataArray:
    """Return model inputs with their names, units, variables and groups of variables, as explanations want them."""
    import xarray as xr

    units = units_of(names)
    coords = {
        "feature": list(names),
        "units": ("feature", [units[name] for name in names]),
        "variable": ("feature", [quantity_of(name).name for name in names]),
        "group": ("feature", [group_of(name) for name in names]),
    }
    return xr.DataArray(table[list(names)].to_numpy(np.float32), dims=("instance", "feature"), coords=coords)


def log_odds_model(network: Any) -> Any:
    """Return the part of a registered model whose one output is what is explained: the log-odds of fire."""
    import keras

    return keras.Model(network.inputs[0], network.get_layer(OUTPUT).output)


def explained_model(network: Any, names: Sequence[str]) -> Any:
    """Return a registered model as explanations take it: with gradients, or as a sum of trees.

    Parameters
    ----------
    network : keras.Model
        The registered model, all of whose members are of one family.
    names : sequence of str
        Names of its inputs, in order.

    Returns
    -------
    deepcube.explain.TracedModel or deepcube.explain.TreeSum
        From inputs (rows, inputs) to the log-odds of fire, (rows, 1).
    """
    from deepcube.explain import TracedModel, TreeSum

    trees = _trees(network)
    if not trees:
        return TracedModel(log_odds_model(network))
    calibrated = network.get_layer(OUTPUT)
    members = [layer.as_sum(Layout(tuple(names)).table(), len(names)) for layer in trees]
    return TreeSum.joined(members, float(calibrated.scale) / len(members), float(calibrated.offset))


def explaining_methods(network: Any) -> tuple[str, ...]:
    """Return the methods that can explain a registered model, the best first: trees have no gradients."""
    if _trees(network):
        return ("tree_shap", "kernel_shap")
    return ("integrated_gradients", "gradient_x_input", "kernel_shap")


def _trees(network: Any) -> list[Any]:
    """Return the layers of boosted trees of a model and of its members."""
    import keras

    from features.wildfire.trees import BoostedTrees

    def layers(model: keras.Model) -> list[Any]:
        return [one for each in model.layers for one in (layers(each) if isinstance(each, keras.Model) else [each])]

    return [layer for layer in layers(network) if isinstance(layer, BoostedTrees)]
