"""How far an explanation is to be trusted: scores of attributions, with the source of every formula.

Scores perturb inputs towards the baseline of the explanation and ask the model; none of them needs to know how the
attributions were made, but for :func:`~.robustness.max_sensitivity` and :func:`~.robustness.model_randomisation`, which
make them again.
"""

from deepcube.explain.quality.agreement import (
    against_truth,
    agreement,
    rank_correlation,
    sign_agreement,
    top_overlap,
)
from deepcube.explain.quality.concentration import complexity, sparseness
from deepcube.explain.quality.faithfulness import (
    area,
    deletion_curve,
    faithfulness_correlation,
    infidelity,
    insertion_curve,
    random_subsets,
)
from deepcube.explain.quality.flat import Flat
from deepcube.explain.quality.robustness import max_sensitivity, model_randomisation
from deepcube.explain.quality.scoring import SCORES, Score, score

__all__ = [
    "SCORES",
    "Flat",
    "Score",
    "against_truth",
    "agreement",
    "area",
    "complexity",
    "deletion_curve",
    "faithfulness_correlation",
    "infidelity",
    "insertion_curve",
    "max_sensitivity",
    "model_randomisation",
    "random_subsets",
    "rank_correlation",
    "score",
    "sign_agreement",
    "sparseness",
    "top_overlap",
]
