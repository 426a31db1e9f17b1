"""Robustness: how much an explanation changes with the input, and whether it knows what the model has learnt."""

from typing import Any

import numpy as np

from deepcube.explain.models import Array, ModelAdapter, adapt, randomised
from deepcube.explain.quality.agreement import rank_correlation
from deepcube.explain.quality.flat import Flat
from deepcube.explain.recipes import Recipe

NEIGHBOURS = 10
"""Perturbed inputs per instance."""

RADIUS = 0.05
"""Largest perturbation, as a share of the element's distance from its baseline."""


def max_sensitivity(
    flat: Flat,
    model: ModelAdapter,
    recipe: Recipe,
    *,
    neighbours: int = NEIGHBOURS,
    radius: float | Array = RADIUS,
    seed: int = 0,
) -> Array:
    """Return the largest change of an explanation under small changes of the input, relative to the explanation.

    Parameters
    ----------
    flat : Flat
        The explanation.
    model : ModelAdapter
        The explained model.
    recipe : Recipe
        How it was made.
    neighbours : int
        Perturbed inputs to try.
    radius : float or numpy.ndarray of float, shape (elements,)
        Largest perturbation of an element: as a number, a share of its distance from the baseline; as an array, in the
        element's own units.
    seed : int
        Seed of the perturbations, which are uniform.

    Returns
    -------
    numpy.ndarray of float64, shape (n, outputs)
        ``max over x' of ||phi(x') - phi(x)|| / ||phi(x)||`` in the Euclidean norm; NaN where there is no attribution.
        Definition 2 (SENS_MAX) of Yeh et al., 2019, On the (In)fidelity and Sensitivity of Explanations, NeurIPS,
        estimated by sampling as there, and divided by the norm of the explanation as captum and quantus do optionally.
    """
    random, outputs = np.random.default_rng(seed), flat.phi.shape[1]
    reach = np.broadcast_to(
        radius if isinstance(radius, np.ndarray) else radius * np.abs(flat.x - flat.x0), flat.x.shape
    )
    x0 = flat.x0.reshape(-1, *flat.shape)
    norm = np.linalg.norm(flat.phi, axis=-1)
    largest = np.zeros(norm.shape)
    for _ in range(neighbours):
        near = (flat.x + random.uniform(-1, 1, flat.x.shape) * reach).astype(flat.x.dtype, copy=False)
        values, _ = recipe.attribute(model, near.reshape(-1, *flat.shape), x0, outputs)
        change = np.linalg.norm(values.reshape(flat.phi.shape) - flat.phi, axis=-1)
        largest = np.maximum(largest, change)
    return np.divide(largest, norm, out=np.full_like(norm, np.nan), where=norm > 0)


def model_randomisation(
    flat: Flat, model: ModelAdapter, recipe: Recipe, *, random_model: Any = None, seed: int = 0
) -> Array:
    """Return how similar the explanation of a model that has learnt nothing is; it should not be.

    Parameters
    ----------
    flat : Flat
        The explanation.
    model : ModelAdapter
        The explained model.
    recipe : Recipe
        How it was made.
    random_model : object, optional
        A model that has learnt nothing; by default the explained one with its weights shuffled.
    seed : int
        Seed of the shuffling.

    Returns
    -------
    numpy.ndarray of float64, shape (n, outputs)
        Rank correlation of Spearman between both attributions; near 0 is good, near 1 says that the explanation shows
        the input and not the model. NaN where either does not vary. Adebayo et al., 2018, Sanity Checks for Saliency
        Maps, NeurIPS, section 4, all layers at once.

    Raises
    ------
    MethodError
        If the model's weights cannot be shuffled and no random model is given.
    """
    other = randomised(model, seed) if random_model is None else adapt(random_model)
    x, x0 = (part.reshape(-1, *flat.shape) for part in (flat.x, flat.x0))
    values, _ = recipe.attribute(other, x, x0, flat.phi.shape[1])
    return rank_correlation(values.reshape(flat.phi.shape), flat.phi)
