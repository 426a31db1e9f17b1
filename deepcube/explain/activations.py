"""What happens inside a network: where its activations support an output, and which inputs look alike to it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from deepcube.explain.captum_methods import activation_maps as torch_maps
from deepcube.explain.errors import InputError, MethodError
from deepcube.explain.inputs import as_inputs
from deepcube.explain.models import Array, ModelAdapter, adapt, output_names

_SPATIAL = 4  # (rows, y, x, channels)


def activation_map(
    model: Any,
    inputs: Any,
    *,
    layer: str | None = None,
    dims: tuple[str, str] = ("y", "x"),
    outputs: Sequence[str] | None = None,
    output_units: str = "1",
    seed: int = 0,
) -> xr.Dataset:
    """Show where the activations of a convolutional layer support each output (Grad-CAM).

    Parameters
    ----------
    model : keras.Model, TracedModel or torch.nn.Module
        A functional or sequential Keras network on TensorFlow, channels last; or a torch module, channels first, by
        captum.
    inputs : as for :func:`deepcube.explain.explain`, with the two dimensions ``dims``
        Images, or cubes of them.
    layer : str, optional
        Name of the layer; by default the last one whose output is a map (rows, y, x, channels) with more than one cell,
        of torch the last convolution.
    dims : tuple of str
        The two dimensions of the maps.
    outputs : sequence of str, optional
        Names of the outputs.
    output_units : str
        Unit of the outputs.
    seed : int
        Not used: nothing is sampled.

    Returns
    -------
    xarray.Dataset
        ``activation_map`` of dims (instance, output, *dims): never negative, resampled bilinearly to the input's grid,
        without unit; it says where, not how much, and does not add up to anything. ``prediction`` (instance, output).
        Selvaraju et al., 2017, Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization, ICCV,
        equations 1 and 2.

    Raises
    ------
    MethodError
        If the model is neither of Keras nor of torch, or has no such layer.
    InputError
        If the inputs lack the dimensions.
    """
    adapter, array = adapt(model), as_inputs(inputs)
    missing = [dim for dim in dims if dim not in array.dims]
    if missing:
        raise InputError(f"Found inputs of dims {array.dims}; expected {' and '.join(dims)} for a map.")
    size = (array.sizes[dims[0]], array.sizes[dims[1]])
    values = adapter.predict(array.values)
    if adapter.kind == "torch":
        maps, made_of = torch_maps(adapter.original, array.values, layer, values.shape[1], size)
    else:
        maps, made_of = _keras_maps(_network(adapter), array.values, layer, size)
    first = array.dims[0]
    coords = {dim: array.indexes[dim] for dim in (first, *dims) if dim in array.indexes}
    names = output_names(adapter.original, maps.shape[1], outputs)
    return xr.Dataset(
        {
            "activation_map": (
                (first, "output", *dims),
                maps,
                {"units": "1", "long_name": f"support of the output by activations of layer {made_of}"},
            ),
            "prediction": ((first, "output"), values, {"units": output_units}),
        },
        coords={**coords, "output": names},
        attrs={"method": "grad_cam", "layer": made_of},
    )


def _keras_maps(network: Any, x: Array, layer: str | None, size: tuple[int, int]) -> tuple[Array, str]:
    """Return the maps (rows, outputs, *size) of a layer, and its name."""
    part = _layer(network, layer)
    if len(part.output.shape) != _SPATIAL:
        raise MethodError(
            f"Found layer {part.name!r} with an output of shape {tuple(part.output.shape)}; "
            "expected a map (rows, y, x, channels)."
        )
    import keras
    import tensorflow as tf

    both = keras.Model(network.inputs, [part.output, network.outputs[0]])
    point = tf.convert_to_tensor(np.ascontiguousarray(x, np.float32))
    with tf.GradientTape(persistent=True) as tape:
        activations, values = both(point, training=False)
        tape.watch(activations)
        values = tf.reshape(values, (len(x), -1))
        columns = [tf.reduce_sum(values[:, k]) for k in range(values.shape[1])]
    maps = []
    for column in columns:
        gradient = tape.gradient(column, activations, unconnected_gradients="zero")
        weights = tf.reduce_mean(gradient, axis=(1, 2), keepdims=True)
        maps.append(tf.nn.relu(tf.reduce_sum(weights * activations, axis=-1)))
    resampled = tf.image.resize(tf.stack(maps, axis=-1), size, method="bilinear")
    return np.moveaxis(np.asarray(resampled), -1, 1), part.name


def embed(model: Any, inputs: Any, *, layer: str | None = None) -> xr.DataArray:
    """Return what a layer of a network makes of inputs, one vector each.

    Parameters
    ----------
    model : keras.Model, TracedModel or torch.nn.Module
        The network.
    inputs : as for :func:`deepcube.explain.explain`
        The inputs.
    layer : str, optional
        Name of the layer; by default the one before the last. Maps and series are averaged over place and time.

    Returns
    -------
    xarray.DataArray of float32, dims (instance, component)
        Activations.

    Raises
    ------
    MethodError
        If the model has no such layer.
    """
    adapter, array = adapt(model), as_inputs(inputs)
    x = np.ascontiguousarray(array.values, np.float32)
    values = _torch_activations(adapter, x, layer) if adapter.kind == "torch" else _keras_activations(adapter, x, layer)
    while values.ndim > 2:
        values = values.mean(axis=1)
    first = array.dims[0]
    coords = {first: array.indexes[first]} if first in array.indexes else {}
    return xr.DataArray(values, dims=(first, "component"), coords=coords, attrs={"layer": layer or "last but one"})


def activation_clusters(activations: xr.DataArray, clusters: int, *, seed: int = 0) -> xr.Dataset:
    """Group inputs by what the network makes of them.

    Parameters
    ----------
    activations : xarray.DataArray, dims (instance, component)
        As returned by :func:`embed`.
    clusters : int
        How many groups.
    seed : int
        Seed of the first centres.

    Returns
    -------
    xarray.Dataset
        ``cluster`` (instance,), from 0 on, largest cluster first; ``size`` and ``representative``, the position of the
        instance nearest to the centre (cluster,); ``silhouette`` (instance,), from -1, in the wrong cluster, to 1, of
        Rousseeuw, 1987, Silhouettes, Journal of Computational and Applied Mathematics 20. Components are standardised,
        then k-means of Lloyd, 1982, Least squares quantization in PCM, IEEE Transactions on Information Theory 28.

    Raises
    ------
    InputError
        If there are fewer different instances than clusters, or fewer than two clusters.
    """
    values = np.asarray(activations.values, np.float64)
    different = len(np.unique(values, axis=0))
    if not 2 <= clusters <= different - 1:
        raise InputError(
            f"Found clusters={clusters} for {different} different instances; expected from 2 to one fewer."
        )
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_samples

    deviation = values.std(axis=0)
    standard = (values - values.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    fitted = KMeans(clusters, n_init=10, random_state=seed).fit(standard)
    order = np.argsort(-np.bincount(fitted.labels_, minlength=clusters), kind="stable")
    labels = np.argsort(order)[fitted.labels_]
    centres = fitted.cluster_centers_[order]
    distance = np.linalg.norm(standard[:, None] - centres[None], axis=-1)
    first = activations.dims[0]
    return xr.Dataset(
        {
            "cluster": (first, labels),
            "silhouette": (first, silhouette_samples(standard, labels), {"units": "1"}),
            "size": ("group", np.bincount(labels, minlength=clusters)),
            "representative": ("group", distance.argmin(axis=0)),
        },
        coords=activations.drop_vars("component", errors="ignore").coords,
        attrs={"method": "activation_clusters", "seed": seed},
    )


def _network(adapter: ModelAdapter) -> Any:
    if adapter.kind != "keras":
        raise MethodError(f"Found a model of kind {adapter.kind}; activation maps are made of Keras networks.")
    return adapter.original.model


def _layer(network: Any, name: str | None) -> Any:
    if name is not None:
        found = [layer for layer in network.layers if layer.name == name]
        if not found:
            known = ", ".join(layer.name for layer in network.layers)
            raise MethodError(f"Found no layer {name!r}; expected one of {known}.")
        return found[0]
    for layer in reversed(network.layers):
        shape = tuple(getattr(layer.output, "shape", ()))
        if len(shape) == _SPATIAL and 1 not in shape[1:3]:
            return layer
    raise MethodError("Found no layer whose output is a map (rows, y, x, channels); activation maps need one.")


def _keras_activations(adapter: ModelAdapter, x: Array, name: str | None) -> Array:
    import keras

    network = _network(adapter)
    if name is None and len(network.layers) < 2:
        raise MethodError("Found a network of one layer; expected one before the last to take activations of.")
    part = _layer(network, name) if name is not None else network.layers[-2]
    inner = keras.Model(network.inputs, part.output)
    return np.concatenate([np.asarray(inner(x[i : i + 1024], training=False)) for i in range(0, len(x), 1024)])


def _torch_activations(adapter: ModelAdapter, x: Array, name: str | None) -> Array:
    parts = dict(adapter.original.named_modules())
    children = [key for key, part in parts.items() if key and not list(part.children())]
    chosen = name if name is not None else (children[-2] if len(children) > 1 else None)
    if chosen is None or chosen not in parts:
        raise MethodError(f"Found no layer {name!r}; expected one of {', '.join(children)}.")
    kept: list[Array] = []
    handle = parts[chosen].register_forward_hook(lambda module, given, made: kept.append(made.detach().cpu().numpy()))
    try:
        adapter.predict(x)
    finally:
        handle.remove()
    return np.concatenate(kept)
