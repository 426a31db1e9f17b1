"""Explain predictions, and say how far to trust the explanation.

An explanation is one ``xarray.Dataset`` whatever the method: the attribution of every input element to every output,
with the input's own names and units, the baseline it was compared with and what that stands for, and the completeness
error. Methods come from kept libraries, with their known faults corrected in :mod:`~deepcube.explain.alibi_compat`. May
import no other part of the project.
"""

from deepcube.explain.alibi_compat import load_alibi
from deepcube.explain.attribution import as_dict, build_attributions, top_features
from deepcube.explain.errors import ExplainError, InputError, OutputError
from deepcube.explain.figures import attribution_bars
from deepcube.explain.integrated_gradients import integrated_gradients
from deepcube.explain.traced import TracedModel

__all__ = [
    "ExplainError",
    "InputError",
    "OutputError",
    "TracedModel",
    "as_dict",
    "attribution_bars",
    "build_attributions",
    "integrated_gradients",
    "load_alibi",
    "top_features",
]
