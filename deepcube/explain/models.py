"""Models of every framework behind one pair of functions: what they predict, and how that changes with the input."""

import copy
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deepcube.explain.errors import InputError, MethodError, OutputError
from deepcube.explain.traced import TracedModel
from deepcube.explain.trees import TreeSum

Array = npt.NDArray[Any]

BATCH = 4096
"""Rows per call of a model, so that many perturbed copies of an input do not exhaust the memory."""


@dataclass(frozen=True)
class ModelAdapter:
    """A model that can be explained.

    Attributes
    ----------
    kind : str
        ``"keras"``, ``"torch"``, ``"sklearn"``, ``"trees"`` (:class:`TreeSum`) or ``"function"``.
    original : object
        The model as it was given.
    call : callable
        From inputs (n, ...) to outputs, (n,) or (n, outputs).
    differentiate : callable or None
        ``differentiate(inputs, output)`` is the gradient of one output, shaped as the inputs; None where the model has
        none.
    most_rows : callable
        Returns how many rows the next call may have.
    """

    kind: str
    original: Any
    call: Callable[[Array], Any]
    differentiate: Callable[[Array, int], Array] | None = None
    most_rows: Callable[[], int] = lambda: BATCH

    def predict(self, x: Array) -> Array:
        """Return the model's outputs.

        Parameters
        ----------
        x : numpy.ndarray of float, shape (n, ...)
            Inputs.

        Returns
        -------
        numpy.ndarray of float64, shape (n, outputs)
            Outputs; class probabilities of a scikit-learn classifier.

        Raises
        ------
        InputError
            If the model refuses inputs of this shape.
        OutputError
            If an output is not a finite number, or a model returns more than a vector per input.
        """
        try:
            parts = [np.asarray(self.call(part)) for part in self._parts(x)]
        except (ValueError, TypeError, RuntimeError) as error:
            raise _refused(x, error) from error
        except Exception as error:
            if type(error).__module__.startswith("tensorflow"):
                raise _refused(x, error) from error
            raise
        values = np.concatenate(parts).astype(np.float64)
        values = values[:, None] if values.ndim == 1 else values
        if values.ndim != 2 or len(values) != len(x):
            raise OutputError(
                f"Found a model output of shape {values.shape} for {len(x)} inputs; expected ({len(x)}, outputs). "
                "Wrap the model in a function that reduces each output to a number."
            )
        if not np.isfinite(values).all():
            raise OutputError(
                "Found a model output that is not finite; expected numbers. Check the model and its inputs."
            )
        return values

    def gradient(self, x: Array, output: int) -> Array:
        """Return the gradient of one output with respect to every input element, shaped as ``x``.

        Raises
        ------
        MethodError
            If the model has no gradients.
        """
        if self.differentiate is None:
            raise MethodError(
                f"Found a model of kind {self.kind}, which has no gradients; expected Keras or torch. "
                "Use kernel_shap, or tree_shap for trees."
            )
        return np.concatenate([self.differentiate(part, output) for part in self._parts(x)])

    def _parts(self, x: Array) -> Iterator[Array]:
        start = 0
        while start < len(x):
            rows = self.most_rows()
            yield x[start : start + rows]
            start += rows


def adapt(model: Any) -> ModelAdapter:
    """Put a model of any supported framework behind one interface.

    Parameters
    ----------
    model : keras.Model, TracedModel, torch.nn.Module, scikit-learn estimator, TreeSum, callable or ModelAdapter
        The model. A callable maps an array (n, ...) to (n,) or (n, outputs). A scikit-learn estimator has features
        only: of a series, image or cube it is given the elements of each instance in a row, the last dim fastest.

    Returns
    -------
    ModelAdapter
        The model behind one interface.

    Raises
    ------
    MethodError
        If it is none of these, or a Keras model that does not run on TensorFlow.
    """
    if isinstance(model, ModelAdapter):
        return model
    if isinstance(model, TracedModel) or _is_instance(model, "keras", "Model"):
        return _keras(model)
    if _is_instance(model, "torch", "nn.Module"):
        return _torch(model)
    if isinstance(model, TreeSum):
        return ModelAdapter("trees", model, model)
    if _is_instance(model, "sklearn.base", "BaseEstimator"):
        whole = getattr(model, "predict_proba", None) or getattr(model, "predict", None)
        if whole is not None:
            return ModelAdapter("sklearn", model, _of_tables(_forest(model) or whole))
    if callable(model):
        return ModelAdapter("function", model, model)
    raise MethodError(
        f"Found a model of type {type(model).__name__}; expected a Keras model, a torch module, a scikit-learn "
        "estimator that predicts, or a function."
    )


def randomised(model: Any, seed: int = 0) -> ModelAdapter:
    """Return a copy of a model whose learnt weights are shuffled, each within itself.

    Parameters
    ----------
    model : keras.Model, TracedModel, torch.nn.Module or TreeSum
        The trained model; it stays as it is.
    seed : int
        Seed of the shuffling.

    Returns
    -------
    ModelAdapter
        A model of the same architecture that has learnt nothing (the sanity check of Adebayo et al., 2018, Sanity
        Checks for Saliency Maps, NeurIPS, section 3). What is not trained, for example a normalisation, is kept.

    Raises
    ------
    MethodError
        If the model has no weights that can be shuffled: refit such a model on permuted labels instead, and give it.
    """
    adapter, random = adapt(model), np.random.default_rng(seed)
    if adapter.kind == "keras":
        import keras

        source = adapter.original.model
        clone = keras.models.clone_model(source)
        clone.build(source.input_shape)
        clone.set_weights(source.get_weights())
        for weight in clone.trainable_weights:
            weight.assign(random.permutation(np.ravel(weight.numpy())).reshape(weight.shape))
        return adapt(clone)
    if adapter.kind == "torch":
        import torch

        module = copy.deepcopy(adapter.original)
        with torch.no_grad():
            for parameter in module.parameters():
                shuffled = random.permutation(parameter.detach().cpu().numpy().ravel()).reshape(parameter.shape)
                parameter.copy_(torch.as_tensor(shuffled))
        return adapt(module)
    if adapter.kind == "trees":
        return adapt(adapter.original.shuffled(random))
    raise MethodError(
        f"Found a model of kind {adapter.kind}, whose weights cannot be shuffled; expected Keras, torch or a TreeSum. "
        "Refit it on permuted labels and give that model as `random_model`."
    )


def _keras(model: Any) -> ModelAdapter:
    import keras

    if keras.backend.backend() != "tensorflow":
        raise MethodError(f"Found Keras on {keras.backend.backend()}; expected TensorFlow for explanations.")
    import tensorflow as tf

    traced = model if isinstance(model, TracedModel) else TracedModel(model)

    def differentiate(x: Array, output: int) -> Array:
        point = tf.convert_to_tensor(np.ascontiguousarray(x, np.float32))
        with tf.GradientTape() as tape:
            tape.watch(point)
            total = tf.reduce_sum(tf.reshape(traced(point), (len(x), -1))[:, output])
        gradient = tape.gradient(total, point, unconnected_gradients="zero")
        return np.asarray(gradient)

    return ModelAdapter("keras", traced, traced, differentiate)


def _torch(module: Any) -> ModelAdapter:
    import torch

    module.eval()

    def tensor(x: Array) -> Any:
        return torch.as_tensor(np.ascontiguousarray(x, np.float32))

    def call(x: Array) -> Any:
        with torch.no_grad():
            return module(tensor(x)).cpu().numpy()

    def differentiate(x: Array, output: int) -> Array:
        point = tensor(x).requires_grad_(True)
        total = module(point).reshape(len(x), -1)[:, output].sum()
        (gradient,) = torch.autograd.grad(total, point)
        return np.asarray(gradient.cpu().numpy())

    return ModelAdapter("torch", module, call, differentiate)


def _of_tables(function: Callable[[Array], Any]) -> Callable[[Array], Any]:
    """Return a function of tables (n, features) as one of inputs (n, ...)."""
    return lambda x: function(x.reshape(len(x), -1))


def _forest(model: Any) -> Callable[[Array], Any] | None:
    """Return the mean over a forest's trees as a function, or None if the model is no such forest.

    The same numbers as its own prediction, but for rounding, without the start of a pool of workers that costs more
    than the trees do on the few rows of an explanation.
    """
    plain = any(
        _is_instance(model, "sklearn.ensemble", name)
        for name in ("RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor")
    )
    trees = getattr(model, "estimators_", None)
    if not plain or not trees or model.n_outputs_ > 1 or model.n_jobs not in (None, 1):
        return None
    features, classifies = model.n_features_in_, hasattr(model, "predict_proba")

    def mean(x: Array) -> Array:
        if x.ndim != 2 or x.shape[1] != features:
            raise ValueError(f"X has shape {x.shape}, but the forest expects {features} features")
        rows = np.ascontiguousarray(x, np.float32)
        total = np.zeros((len(rows), model.n_classes_ if classifies else 1))
        for tree in trees:
            total += tree.tree_.predict(rows).reshape(total.shape)
        return total / len(trees) if classifies else total[:, 0] / len(trees)

    return mean


def _is_instance(model: Any, module: str, name: str) -> bool:
    """Tell whether a model is of a class of a framework, without importing the framework: a model of it already has."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return isinstance(found, type) and isinstance(model, found)


def _refused(x: Array, error: Exception) -> InputError:
    said = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    return InputError(f"Found inputs of shape {x.shape} that the model refuses: {said}.")


def output_names(model: Any, count: int, names: Sequence[str] | None = None) -> list[str]:
    """Return the names of a model's outputs.

    Parameters
    ----------
    model : object
        The model; a classifier knows its classes.
    count : int
        How many outputs it has.
    names : sequence of str, optional
        Their names, if given.

    Returns
    -------
    list of str
        The names.

    Raises
    ------
    OutputError
        If as many are not given.
    """
    if names is None:
        classes = getattr(model, "classes_", None)
        if classes is not None and len(classes) == count:
            return [str(name) for name in classes]
        return [f"output_{i}" for i in range(count)]
    if len(names) != count:
        raise OutputError(f"Found a model with {count} outputs; expected {len(names)}: {', '.join(names)}.")
    return [str(name) for name in names]
