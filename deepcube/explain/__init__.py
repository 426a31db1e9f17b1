"""Explain predictions, and say how far to trust the explanation.

An explanation is one ``xarray.Dataset`` whatever the method and the framework: the attribution of every input element
to every output, with the input's own dims, names and units, the baseline it was compared with and what that stands for,
and the scores of its quality. :func:`explain` makes it, :func:`grouped` sums it over variables, lags, patches and
regions. Methods come from kept libraries, with their known faults corrected in :mod:`~deepcube.explain.alibi_compat`.
May import no other part of the project; frameworks are imported only by those who use them.
"""

from deepcube.explain.activations import activation_clusters, activation_map, embed
from deepcube.explain.alibi_compat import load_alibi
from deepcube.explain.attribution import as_dict, build_attributions, top_features
from deepcube.explain.card import CARD_HTML, CARD_JSON, CARD_MARKDOWN, CardTable, ModelCard
from deepcube.explain.counterfactuals import counterfactual, prototype_counterfactual
from deepcube.explain.effects import ale, partial_dependence, permutation_importance
from deepcube.explain.errors import CardError, ExplainError, InputError, MethodError, OptionsError, OutputError
from deepcube.explain.examples import prototypes, similar, similar_in_feature_group
from deepcube.explain.figures import attribution_bars
from deepcube.explain.grouping import group_labels, grouped
from deepcube.explain.inputs import as_inputs
from deepcube.explain.integrated_gradients import integrated_gradients
from deepcube.explain.interface import OTHER_METHODS, explain
from deepcube.explain.models import ModelAdapter, adapt, randomised
from deepcube.explain.quality import SCORES, against_truth, agreement, score
from deepcube.explain.recipes import METHODS, Recipe
from deepcube.explain.rules import anchors
from deepcube.explain.served import ExplainOptions, ServedExplainer
from deepcube.explain.summaries import draw_effects, draw_importance, importance_table, mean_attributions, quality_table
from deepcube.explain.traced import TracedModel
from deepcube.explain.trees import TreeSum

__all__ = [
    "CARD_HTML",
    "CARD_JSON",
    "CARD_MARKDOWN",
    "METHODS",
    "OTHER_METHODS",
    "SCORES",
    "CardError",
    "CardTable",
    "ExplainError",
    "ExplainOptions",
    "InputError",
    "MethodError",
    "ModelAdapter",
    "ModelCard",
    "OptionsError",
    "OutputError",
    "Recipe",
    "ServedExplainer",
    "TracedModel",
    "TreeSum",
    "activation_clusters",
    "activation_map",
    "adapt",
    "against_truth",
    "agreement",
    "ale",
    "anchors",
    "as_dict",
    "as_inputs",
    "attribution_bars",
    "build_attributions",
    "counterfactual",
    "draw_effects",
    "draw_importance",
    "embed",
    "explain",
    "group_labels",
    "grouped",
    "importance_table",
    "integrated_gradients",
    "load_alibi",
    "mean_attributions",
    "partial_dependence",
    "permutation_importance",
    "prototype_counterfactual",
    "prototypes",
    "quality_table",
    "randomised",
    "score",
    "similar",
    "similar_in_feature_group",
    "top_features",
]
