"""All scores of an explanation by name, computed together."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from deepcube.explain.errors import MethodError
from deepcube.explain.models import Array, adapt
from deepcube.explain.quality import concentration, faithfulness, robustness
from deepcube.explain.quality.agreement import rank_correlation
from deepcube.explain.quality.flat import Flat
from deepcube.explain.recipes import METHODS, Recipe, second_method


class Score(NamedTuple):
    """What a score says.

    Attributes
    ----------
    units : str
        ``"output"``, ``"output^2"`` or ``"1"``.
    best : str
        What is good, in words.
    meaning : str
        What it measures, in a line.
    """

    units: str
    best: str
    meaning: str


SCORES: Mapping[str, Score] = MappingProxyType(
    {
        "completeness_error": Score("output", "0", "sum of the attributions minus what they have to explain"),
        "deletion": Score("output", "small", "mean output while the elements are taken away, most positive first"),
        "insertion": Score("output", "large", "mean output while the elements are put back, most positive first"),
        "faithfulness_correlation": Score("1", "1", "correlation of said and real effect of random subsets"),
        "infidelity": Score("output^2", "0", "mean squared difference of said and real effect of random subsets"),
        "max_sensitivity": Score("1", "small", "largest relative change of the attributions near the input"),
        "complexity": Score("nat", "small", "entropy of the shares of the absolute attributions"),
        "sparseness": Score("1", "large", "Gini index of the absolute attributions"),
        "randomisation": Score(
            "1", "near 0", "rank correlation with the attributions of a model with shuffled weights"
        ),
        "agreement": Score("1", "1", "rank correlation with the attributions of another method"),
    }
)
"""Scores by name."""


def score(
    model: Any,
    explanation: xr.Dataset,
    names: Sequence[str] | None = None,
    *,
    recipe: Recipe | None = None,
    other: str | None = None,
    random_model: Any = None,
    curves: bool = False,
    effort: float = 1.0,
    seed: int = 0,
) -> xr.Dataset:
    """Measure how far an explanation is to be trusted.

    Parameters
    ----------
    model : object
        The explained model.
    explanation : xarray.Dataset
        Attributions with a baseline, as returned by :func:`deepcube.explain.explain`.
    names : sequence of str, optional
        Names of :data:`SCORES`; by default all that the model allows.
    recipe : Recipe, optional
        How the explanation was made; by default its method with default settings.
    other : str, optional
        Method to compare with; by default one of another kind that fits the model.
    random_model : object, optional
        A model that has learnt nothing, for models whose weights cannot be shuffled.
    curves : bool
        Whether to add the deletion and insertion curves.
    effort : float
        Share of the default numbers of perturbations, curve steps and neighbours.
    seed : int
        Seed of whatever is sampled.

    Returns
    -------
    xarray.Dataset, dims (instance, output)
        One variable per score, with ``units`` and with ``best`` and ``meaning`` in words; with curves also
        ``deletion_curve`` and ``insertion_curve`` of dims (instance, output, share).

    Raises
    ------
    MethodError
        If there is no such score, or the model does not allow one that was asked for by name.
    InputError
        If the explanation has no baseline.
    """
    unknown = [name for name in names or () if name not in SCORES]
    if unknown:
        raise MethodError(f"Found no score {', '.join(unknown)}; expected some of {', '.join(SCORES)}.")
    flat, adapter = Flat.of(explanation), adapt(model)
    recipe = recipe or Recipe(str(explanation.attrs["method"]))
    elements = flat.x.shape[1] if recipe.labels is None else int(recipe.labels.max()) + 1
    chosen = second_method(recipe.method, adapter, elements) if other is None else other
    allowed = {
        "randomisation": random_model is not None or (adapter.kind in ("keras", "torch")),
        "agreement": chosen is not None,
    }
    wanted = list(names) if names is not None else [name for name in SCORES if allowed.get(name, True)]

    def count(default: int) -> int:
        return max(2, round(default * effort))

    values: dict[str, Array] = {}
    lines: dict[str, Array] = {}
    error = flat.phi.sum(axis=-1) - (flat.predictions - flat.base_values)
    values["completeness_error"] = error
    for name, curve in (("deletion", faithfulness.deletion_curve), ("insertion", faithfulness.insertion_curve)):
        if name in wanted:
            lines[f"{name}_curve"] = curve(flat, adapter, count(faithfulness.CURVE_STEPS))
            values[name] = faithfulness.area(lines[f"{name}_curve"])
    if {"infidelity", "faithfulness_correlation"} & set(wanted):
        subsets = faithfulness.random_subsets(flat, count(faithfulness.SUBSETS), seed, recipe.labels)
        values["infidelity"] = faithfulness.infidelity(flat, adapter, subsets)
        values["faithfulness_correlation"] = faithfulness.faithfulness_correlation(flat, adapter, subsets)
    if "max_sensitivity" in wanted:
        neighbours = count(robustness.NEIGHBOURS)
        values["max_sensitivity"] = robustness.max_sensitivity(flat, adapter, recipe, neighbours=neighbours, seed=seed)
    values["complexity"], values["sparseness"] = concentration.complexity(flat.phi), concentration.sparseness(flat.phi)
    if "randomisation" in wanted:
        values["randomisation"] = robustness.model_randomisation(
            flat, adapter, recipe, random_model=random_model, seed=seed
        )
    if "agreement" in wanted:
        values["agreement"] = _agreement(flat, adapter, recipe, chosen)
    dims = explanation["attribution"].dims[:2]
    units = str(explanation["attribution"].attrs.get("units", "1"))
    result = xr.Dataset({name: (dims, values[name], _attributes(name, units)) for name in wanted})
    result = result.assign_coords({dim: explanation[dim] for dim in dims if dim in explanation.coords})
    if "agreement" in wanted:
        result["agreement"].attrs["method"] = chosen
    if curves:
        for name, line in lines.items():
            result[name] = ((*dims, "share"), line, {"units": units})
            result = result.assign_coords(share=np.linspace(0, 1, line.shape[-1]))
    return result


def _agreement(flat: Flat, model: Any, recipe: Recipe, method: str | None) -> Array:
    if method is None or method not in METHODS:
        raise MethodError(f"Found no method to compare {recipe.method} with for a model of kind {model.kind}.")
    second = Recipe(method, None, recipe.labels, recipe.background, recipe.seed)
    x, x0 = (part.reshape(-1, *flat.shape) for part in (flat.x, flat.x0))
    values, _ = second.attribute(model, x, x0, flat.phi.shape[1])
    return rank_correlation(flat.phi, values.reshape(flat.phi.shape))


def _attributes(name: str, units: str) -> dict[str, str]:
    kind, best, meaning = SCORES[name]
    named = {"output": units, "output^2": "1" if units == "1" else f"({units})^2"}
    return {"units": named.get(kind, kind), "best": best, "long_name": meaning}
