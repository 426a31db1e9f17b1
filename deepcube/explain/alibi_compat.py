"""Import alibi 0.9.4 beside NumPy 2 and without its text stack, changing no installed file.

alibi 0.9.4 is the last release under Apache-2.0. As released it imports spaCy at module level, although only its text
explainers need it, and calls parts of NumPy, Matplotlib and shap that have since changed. :func:`load_alibi` returns
the package with these faults corrected; use it instead of ``import alibi``.
"""

import functools
import importlib
import importlib.util
import json
import sys
import types
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

_OPTIONAL = "alibi.utils.missing_optional_dependency"


@functools.cache
def load_alibi() -> types.ModuleType:
    """Import alibi, corrected for the installed NumPy, Matplotlib and shap.

    Returns
    -------
    module
        The package ``alibi``; its explainers can be imported from ``alibi.explainers`` by name afterwards.

    Raises
    ------
    ImportError
        If alibi is not installed.
    """
    if "alibi" not in sys.modules:
        _stand_in_for_spacy()
        _load_optional_dependencies()
    alibi = importlib.import_module("alibi")
    importlib.import_module("alibi.explainers.integrated_gradients")
    _correct_quantiles()
    _correct_json()
    _correct_plots()
    _correct_sessions()
    _correct_shap()
    return alibi


def _stand_in_for_spacy() -> None:
    """Let the text modules import: they name spaCy at the top but call it only when used."""
    if importlib.util.find_spec("spacy") is not None:
        return

    def missing(*args: Any, **kwargs: Any) -> NoReturn:
        raise ImportError("alibi's text explainers need spaCy, which is not installed.")

    parts: dict[str, dict[str, Any]] = {
        "spacy": {},
        "spacy.util": {"get_package_path": missing},
        "spacy.cli": {"download": missing, "link": missing},
    }
    for name, members in parts.items():
        module = types.ModuleType(name, "Stand-in for spaCy, which is not installed.")
        module.__path__ = []
        module.__dict__.update(members)
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)


def _load_optional_dependencies() -> None:
    """Load alibi's own handling of optional packages before alibi itself, and widen it.

    A stand-in for a missing package answers ``__getattr__`` for everything, also for the special names by which
    ``typing`` probes the members of a union, and then refuses.
    """
    found = importlib.util.find_spec("alibi")
    if found is None or not found.submodule_search_locations:
        raise ImportError("Found no package alibi; expected alibi 0.9.4. Install the extra `explain`.")
    path = Path(found.submodule_search_locations[0]) / "utils" / "missing_optional_dependency.py"
    spec = importlib.util.spec_from_file_location(_OPTIONAL, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"Found no module at {path}; expected the one of alibi 0.9.4.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.ERROR_TYPES["transformers"] = "all"
    answer = module.MissingDependency.__getattr__

    def getattr_(self: Any, key: str) -> Any:
        if key.startswith("__") and key.endswith("__"):
            raise AttributeError(key)
        return answer(self, key)

    module.MissingDependency.__getattr__ = getattr_
    sys.modules[_OPTIONAL] = module


def _correct_quantiles() -> None:
    """``numpy.percentile`` lost its keyword ``interpolation`` in NumPy 2."""

    def get_quantiles(values: np.ndarray, num_quantiles: int = 11, interpolation: str = "linear") -> np.ndarray:
        levels = np.linspace(0, 100, num=num_quantiles)
        return np.percentile(values, levels, axis=0, method=interpolation)  # type: ignore[call-overload]

    for name in ("ale", "partial_dependence", "pd_variance"):
        module = importlib.import_module(f"alibi.explainers.{name}")
        if hasattr(module, "get_quantiles"):
            vars(module)["get_quantiles"] = get_quantiles


def _correct_json() -> None:
    """``Explanation.to_json`` names ``numpy.float_``, which NumPy 2 removed."""
    for name in ("alibi.saving", "alibi.api.interfaces"):
        vars(importlib.import_module(name))["NumpyEncoder"] = NumpyEncoder


def _correct_plots() -> None:
    """Matplotlib 3.8 removed ``GrouperView.join``, by which alibi shares axes."""
    from matplotlib import cbook

    if not hasattr(cbook.GrouperView, "join"):
        setattr(cbook.GrouperView, "join", lambda self, *axes: self._grouper.join(*axes))  # noqa: B010  not in its type


def _correct_sessions() -> None:
    """Keras 3 has no sessions; alibi's prototype counterfactuals ask it for one to tell whether a model uses it."""
    if importlib.util.find_spec("tensorflow") is None:
        return
    v1 = importlib.import_module("tensorflow").compat.v1
    if not hasattr(v1.keras.backend, "get_session"):
        v1.keras.backend.get_session = v1.get_default_session


def _correct_shap() -> None:
    """Since shap 0.45 multi-output values come as one array ``(n, features, outputs)``; alibi expects a list of arrays.

    Unpatched, alibi's KernelShap fails on classifiers and its TreeShap returns wrong numbers without a warning. Only
    alibi's own wrappers are changed: ``shap`` itself keeps its behaviour for everyone else.
    """
    wrappers = importlib.import_module("alibi.explainers.shap_wrappers")
    kernel_explanation = wrappers.KernelExplainerWrapper.get_explanation
    tree_explainer = wrappers.TreeShap._init_shap_object

    def get_explanation(self: Any, *args: Any, **kwargs: Any) -> Any:
        values = kernel_explanation(self, *args, **kwargs)
        if isinstance(values, tuple):  # one batch of a distributed explanation: its number and its values
            return values[0], _list_of_outputs(values[1], 3)
        return _list_of_outputs(values, 3)

    def init_shap_object(self: Any) -> Any:
        explainer = tree_explainer(self)
        values, interactions = explainer.shap_values, explainer.shap_interaction_values
        explainer.shap_values = lambda *args, **kwargs: _list_of_outputs(values(*args, **kwargs), 3)
        explainer.shap_interaction_values = lambda *args, **kwargs: _list_of_outputs(interactions(*args, **kwargs), 4)
        return explainer

    wrappers.KernelExplainerWrapper.get_explanation = get_explanation
    wrappers.TreeShap._init_shap_object = init_shap_object


def _list_of_outputs(values: Any, dims: int) -> Any:
    """Split the last axis of an array that has one more dimension than a single output's."""
    if isinstance(values, np.ndarray) and values.ndim == dims:
        return [values[..., output] for output in range(values.shape[-1])]
    return values


class NumpyEncoder(json.JSONEncoder):
    """Writes NumPy scalars and arrays as JSON numbers and lists."""

    def default(self, obj: Any) -> Any:
        """Return the plain Python value of a NumPy object."""
        if isinstance(obj, np.generic):
            return obj.item()
        if isinstance(obj, np.ndarray):
            return obj.tolist()
        return super().default(obj)
