"""Attributions of torch modules by captum, where it is installed; captum and torch are imported only here."""

import importlib.util
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from deepcube.explain.errors import MethodError
from deepcube.explain.models import Array, ModelAdapter


def has_captum() -> bool:
    """Tell whether captum is installed."""
    return importlib.util.find_spec("captum") is not None


def require_captum(method: str) -> None:
    """Refuse a method that only captum has, where it is not installed.

    Raises
    ------
    MethodError
        If captum is not installed.
    """
    if not has_captum():
        raise MethodError(
            f"Found no captum, which {method} needs; expected it beside torch. Install the extra `torch`."
        )


def captum_integrated_gradients(model: ModelAdapter, x: Array, x0: Array, outputs: int, steps: int) -> Array:
    """Integrate the gradients of a torch module by captum.

    Parameters
    ----------
    model : ModelAdapter
        A torch module.
    x, x0 : numpy.ndarray of float, shape (n, ...)
        Inputs and their baselines.
    outputs, steps : int
        Number of outputs, and points of the Gauss-Legendre quadrature along the path.

    Returns
    -------
    numpy.ndarray of float64, shape (n, outputs, ...)
        Attributions of Sundararajan, Taly and Yan, 2017, Axiomatic Attribution for Deep Networks, ICML, equation 1.
    """
    from captum.attr import IntegratedGradients

    options = {"n_steps": steps, "method": "gausslegendre", "internal_batch_size": max(model.most_rows(), len(x))}
    return _by_output(IntegratedGradients(model.original).attribute, model, x, x0, outputs, options)


def deep_lift(model: ModelAdapter, x: Array, x0: Array, outputs: int) -> Array:
    """Carry the difference of an output from its baseline back through a torch module, layer by layer.

    Parameters
    ----------
    model : ModelAdapter
        A torch module whose activations are modules, each used once: captum follows them by hooks.
    x, x0 : numpy.ndarray of float, shape (n, ...)
        Inputs and their baselines.
    outputs : int
        Number of outputs.

    Returns
    -------
    numpy.ndarray of float64, shape (n, outputs, ...)
        DeepLIFT with the rescale rule of Shrikumar, Greenside and Kundaje, 2017, Learning Important Features Through
        Propagating Activation Differences, ICML, section 3.5.1. They add up if all of the module's operations are
        linear or element by element.

    Raises
    ------
    MethodError
        If captum is not installed, or cannot follow the module.
    """
    require_captum("deep_lift")
    from captum.attr import DeepLift

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Setting forward, backward hooks")  # they are removed again
            return _by_output(DeepLift(model.original).attribute, model, x, x0, outputs, {})
    except (AssertionError, RuntimeError, AttributeError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise MethodError(
            f"Found a torch module that deep_lift cannot follow ({said}); expected activations that are modules, each "
            "used once. Use integrated_gradients."
        ) from error


def activation_maps(module: Any, x: Array, layer: str | None, outputs: int, size: tuple[int, int]) -> tuple[Array, str]:
    """Compute Grad-CAM maps of a torch module by captum.

    Parameters
    ----------
    module : torch.nn.Module
        The module, channels first.
    x : numpy.ndarray of float, shape (n, channels, y, x)
        Images.
    layer : str or None
        Name of the layer; by default the last convolution.
    outputs : int
        Number of outputs.
    size : tuple of int
        Rows and columns that the maps are resampled to, bilinearly.

    Returns
    -------
    maps : numpy.ndarray of float64, shape (n, outputs, *size)
        Never negative.
    layer : str
        Name of the layer.

    Raises
    ------
    MethodError
        If captum is not installed, or the module has no such layer or none that makes maps.
    """
    require_captum("grad_cam of torch")
    import torch
    from captum.attr import LayerGradCam

    parts = dict(module.named_modules())
    convolutions = [name for name, part in parts.items() if isinstance(part, torch.nn.Conv2d)]
    name = layer if layer is not None else (convolutions[-1] if convolutions else None)
    if name is None or name not in parts:
        known = ", ".join(key for key in parts if key)
        raise MethodError(f"Found no layer {layer or 'Conv2d'!r} to make maps of; expected one of {known}.")
    explainer, point, maps = LayerGradCam(module, parts[name]), _tensor(x), []
    for target in range(outputs):
        found = explainer.attribute(
            point, target=target if outputs > 1 else _only(module, point), relu_attributions=True
        )
        if found.ndim != 4:
            raise MethodError(f"Found layer {name!r}, whose output has {found.ndim} dimensions; expected a map of 4.")
        resampled = torch.nn.functional.interpolate(found, size, mode="bilinear", align_corners=False)
        maps.append(resampled[:, 0].detach().cpu().numpy().astype(np.float64))
    return np.stack(maps, axis=1), name


def _by_output(
    attribute: Callable[..., Any], model: ModelAdapter, x: Array, x0: Array, outputs: int, options: dict[str, Any]
) -> Array:
    """Ask for the attributions of one output after the other."""
    point, start = _tensor(x).requires_grad_(True), _tensor(x0)
    only = _only(model.original, point[:1]) if outputs == 1 else None
    targets = list(range(outputs)) if outputs > 1 else [only]
    found = [attribute(point, baselines=start, target=target, **options).detach().cpu().numpy() for target in targets]
    return np.stack(found, axis=1).astype(np.float64)


def _only(module: Any, point: Any) -> int | None:
    """Return how captum calls the only output: 0 if outputs have a dimension of their own, else None."""
    import torch

    with torch.no_grad():
        return 0 if module(point).ndim > 1 else None


def _tensor(x: Array) -> Any:
    import torch

    return torch.as_tensor(np.ascontiguousarray(x, np.float32))
