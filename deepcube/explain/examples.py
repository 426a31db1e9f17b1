"""Explanations by example: instances that stand for many, and training instances like the one that is predicted."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from deepcube.explain.alibi_compat import load_alibi
from deepcube.explain.errors import InputError
from deepcube.explain.models import Array


def prototypes(sample: xr.DataArray, count: int, *, labels: Any = None, radius: float | None = None) -> xr.Dataset:
    """Choose the instances of a sample that stand for as many others as possible.

    Parameters
    ----------
    sample : xarray.DataArray, dims (instance, ...)
        The instances, or their activations (see :func:`deepcube.explain.embed`). Elements are standardised, so that
        units do not matter.
    count : int
        How many prototypes at most.
    labels : array of int, shape (instance,), optional
        Class of every instance; a prototype stands for instances of its class only.
    radius : float, optional
        Distance, in root mean square standard deviations, within which a prototype stands for another; by default the
        tenth percentile of all distances.

    Returns
    -------
    xarray.Dataset, dims (prototype,)
        ``position`` in the sample, ``label``, and ``covered``: how many instances it stands for that no earlier one
        does; as attributes the radius and the ``coverage``, the covered share of the sample. ProtoSelect of Bien and
        Tibshirani, 2011, Prototype selection for interpretable classification, Annals of Applied Statistics 5.

    Raises
    ------
    InputError
        If there are fewer than two instances or no prototype is asked for.
    """
    if count < 1 or len(sample) < 2:
        raise InputError(f"Found count={count} and {len(sample)} instances; expected at least 1 of at least 2.")
    x = _standardised(sample.values.reshape(len(sample), -1).astype(np.float64))
    classes = np.zeros(len(x), int) if labels is None else np.asarray(labels, int)
    distances = np.concatenate([_distances(x[i : i + 1], x)[0][i + 1 :] for i in range(len(x) - 1)])
    reach = float(np.percentile(distances, 10)) if radius is None else radius
    load_alibi()
    from alibi.prototypes import ProtoSelect

    selector = ProtoSelect(_distances, eps=reach).fit(x, y=classes)
    found = np.asarray(selector.summarise(num_prototypes=count).prototype_indices, int)
    near = (_distances(x[found], x) <= reach) & (classes[found][:, None] == classes[None])
    new = near & ~np.vstack([np.zeros((1, len(x)), bool), np.logical_or.accumulate(near, axis=0)[:-1]])
    return xr.Dataset(
        {
            "position": ("prototype", found),
            "label": ("prototype", classes[found]),
            "covered": ("prototype", new.sum(axis=1)),
        },
        attrs={"method": "prototypes", "radius": reach, "coverage": float(near.any(axis=0).mean())},
    )


def similar(inputs: xr.DataArray, training: xr.DataArray, count: int = 5) -> xr.Dataset:
    """Find the training instances most like each input.

    Parameters
    ----------
    inputs, training : xarray.DataArray, dims (instance, ...)
        Instances, or their activations (see :func:`deepcube.explain.embed`). Elements are standardised by the training
        instances.
    count : int
        How many for each input.

    Returns
    -------
    xarray.Dataset, dims (instance, neighbour)
        ``position`` in the training instances, nearest first, and ``distance`` in root mean square standard deviations.

    Raises
    ------
    InputError
        If they do not fit each other, or there are fewer training instances than asked for.
    """
    if inputs.shape[1:] != training.shape[1:] or not 1 <= count <= len(training):
        raise InputError(
            f"Found inputs of shape {inputs.shape} and {len(training)} training instances of {training.shape[1:]}, "
            f"count={count}; expected the same shapes and at most as many as there are."
        )
    x, t = (part.values.reshape(len(part), -1).astype(np.float64) for part in (inputs, training))
    mean, deviation = t.mean(axis=0), np.where(t.std(axis=0) > 0, t.std(axis=0), 1)
    distance = _distances((x - mean) / deviation, (t - mean) / deviation)
    order = np.argsort(distance, axis=1, kind="stable")[:, :count]
    dims = (inputs.dims[0], "neighbour")
    return xr.Dataset(
        {
            "position": (dims, order),
            "distance": (dims, np.take_along_axis(distance, order, axis=1), {"units": "1"}),
        },
        attrs={"method": "similar"},
    )


def similar_in_feature_group(group: Any, vector: Sequence[float], count: int = 5, **options: Any) -> pd.DataFrame:
    """Find the rows of a feature group whose embedding is most like a vector, by the feature store's vector index.

    Parameters
    ----------
    group : hsfs.feature_group.FeatureGroup
        An online feature group with an embedding index, for example of activations of training instances.
    vector : sequence of float
        Activations of the input.
    count : int
        How many rows.
    **options : Any
        Passed on to ``find_neighbors``: ``col`` for one of several embeddings, ``filter`` to search in some rows only.

    Returns
    -------
    pandas.DataFrame
        ``distance`` as the index measures it, and the features of each row; nearest first.

    Raises
    ------
    InputError
        If the group has no embedding index.
    """
    if getattr(group, "embedding_index", None) is None:
        raise InputError(f"Found feature group {group.name} without an embedding index; expected one to search in.")
    found = group.find_neighbors([float(value) for value in vector], k=count, **options)
    names = [feature.name for feature in group.features]
    rows = [{"distance": distance, **dict(zip(names, row, strict=True))} for distance, row in found]
    return pd.DataFrame(rows, columns=["distance", *names])


def _standardised(values: Array) -> Array:
    deviation = values.std(axis=0)
    return np.asarray((values - values.mean(axis=0)) / np.where(deviation > 0, deviation, 1))


def _distances(a: Array, b: Array) -> Array:
    """Return root mean square distances, shape (rows of a, rows of b)."""
    square = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T
    return np.asarray(np.sqrt(np.maximum(square, 0) / a.shape[1]))
