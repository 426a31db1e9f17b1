"""How attributions are made: a method with its settings, which can be run again on other inputs or another model."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from deepcube.explain.captum_methods import captum_integrated_gradients, deep_lift, has_captum, require_captum
from deepcube.explain.errors import InputError, MethodError
from deepcube.explain.gradients import gradient_times_input, path_integral
from deepcube.explain.integrated_gradients import STEPS, alibi_integrated_gradients
from deepcube.explain.models import Array, ModelAdapter
from deepcube.explain.shapley import COALITIONS, kernel_shap, tree_shap


@dataclass(frozen=True)
class Method:
    """A method that attributes single predictions to input elements.

    Attributes
    ----------
    name, title : str
        Name to ask for it by, and what it is called.
    kinds : tuple of str
        Kinds of model that it fits (see :class:`deepcube.explain.ModelAdapter`).
    samples : int
        Points or coalitions by default; 0 if the method has no such setting.
    fewest : int
        As few as an answer in a hurry may use.
    sampled : str
        What the samples are, for the reader.
    """

    name: str
    title: str
    kinds: tuple[str, ...]
    samples: int
    fewest: int
    sampled: str


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        method.name: method
        for method in (
            Method("integrated_gradients", "Integrated Gradients", ("keras", "torch"), STEPS, 4, "steps"),
            Method("gradient_x_input", "gradient x input", ("keras", "torch"), 0, 0, ""),
            Method("deep_lift", "DeepLIFT", ("torch",), 0, 0, ""),
            Method(
                "kernel_shap",
                "kernel SHAP",
                ("keras", "torch", "sklearn", "trees", "function"),
                COALITIONS,
                64,
                "coalitions",
            ),
            Method("tree_shap", "tree SHAP", ("sklearn", "trees"), 0, 0, ""),
        )
    }
)
"""Methods that attribute single predictions to input elements, by name."""


@dataclass(frozen=True)
class Recipe:
    """A method with its settings.

    Attributes
    ----------
    method : str
        A name in :data:`METHODS`.
    samples : int, optional
        Points or coalitions; the method's default without.
    labels : numpy.ndarray of int, shape (...), optional
        Groups of input elements, for kernel SHAP.
    background : numpy.ndarray, shape (m, ...), optional
        What absent elements are drawn from, for SHAP; without it, from the baseline of each instance.
    seed : int
        Seed of whatever is sampled.
    """

    method: str
    samples: int | None = None
    labels: Array | None = None
    background: Array | None = None
    seed: int = 0

    def check(self, model: ModelAdapter) -> None:
        """Refuse a method that does not exist or does not fit the model.

        Raises
        ------
        MethodError
            If it does not.
        InputError
            If the number of samples is below 1.
        """
        if self.method not in METHODS:
            raise MethodError(f"Found no method {self.method!r}; expected one of {', '.join(METHODS)}.")
        kinds = METHODS[self.method].kinds
        if model.kind not in kinds:
            fitting = [name for name, method in METHODS.items() if model.kind in method.kinds]
            raise MethodError(
                f"Found method {self.method!r} for a model of kind {model.kind}; it explains {', '.join(kinds)}. "
                f"For this model use {' or '.join(fitting)}."
            )
        if self.method == "deep_lift":
            require_captum(self.method)
        if self.samples is not None and self.samples < 1:
            raise InputError(f"Found samples={self.samples}; expected at least 1.")

    def attribute(self, model: ModelAdapter, x: Array, x0: Array | None, outputs: int) -> tuple[Array, Array]:
        """Attribute the model's outputs to its inputs.

        Parameters
        ----------
        model : ModelAdapter
            The model.
        x : numpy.ndarray of float, shape (n, ...)
            What to explain.
        x0 : numpy.ndarray of float, shape (n, ...), or None
            The baseline of each instance; only tree SHAP can do without.
        outputs : int
            Number of outputs.

        Returns
        -------
        attributions : numpy.ndarray of float, shape (n, outputs, ...)
            Contribution of every input element to every output.
        base_values : numpy.ndarray of float, shape (n, outputs)
            What the outputs are compared with.

        Raises
        ------
        MethodError, InputError
            If the method does not fit the model or the inputs.
        """
        self.check(model)
        if self.method == "tree_shap":
            own = None if x0 is None else x0[:, None]
            return tree_shap(model.original, x, own if self.background is None else self.background)
        if x0 is None:
            raise InputError(f"Found no baseline and no background; {self.method} needs one to compare with.")
        if self.method == "kernel_shap":
            reference = x0[:, None] if self.background is None else self.background
            samples = self.samples or METHODS[self.method].samples
            return kernel_shap(model, x, reference, self.labels, samples=samples, seed=self.seed)
        base = model.predict(x0)
        if self.method == "gradient_x_input":
            return gradient_times_input(model, x, x0, outputs), base
        if self.method == "deep_lift":
            return deep_lift(model, x, x0, outputs), base
        steps = self.samples or METHODS[self.method].samples
        if model.kind == "keras":
            point, start = (np.ascontiguousarray(part, np.float32) for part in (x, x0))
            return alibi_integrated_gradients(model.original, point, start, outputs, steps, model.most_rows()), base
        integrate = captum_integrated_gradients if has_captum() else path_integral
        return integrate(model, x, x0, outputs, steps), base


def second_method(first: str, model: ModelAdapter, elements: int) -> str | None:
    """Return the method that a first one is best compared with.

    Parameters
    ----------
    first : str
        Name of the first method.
    model : ModelAdapter
        The model.
    elements : int
        Number of input elements, or of their groups.

    Returns
    -------
    str or None
        Its name; None if no other method fits the model.
    """
    order: list[Any] = ["kernel_shap"] if elements <= 64 else []
    order += ["integrated_gradients", "tree_shap", "gradient_x_input", "kernel_shap"]
    trees = any(part in type(model.original).__name__ for part in ("Forest", "Tree", "Boosting"))
    for name in order:
        if name != first and model.kind in METHODS[name].kinds and (name != "tree_shap" or trees):
            return str(name)
    return None
