"""How good the volcano model is: beside three baselines, over the same interferograms, with the spread over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepcube.oblivious import learning_curve
from features import volcano
from training_pipelines.binary_figures import draw_calibration, draw_ranking
from training_pipelines.binary_scores import (
    binary_scores,
    calibration_table,
    flat_point,
    operating_point,
    over_seeds,
)
from training_pipelines.volcano.data import Patches, TrainingData

RECALL = 0.9
"""Share of the deforming interferograms at which false alarms are counted."""

Scores = dict[str, dict[str, float]]
"""``scores[part]`` holds scores by name."""


@dataclass(frozen=True)
class Evaluation:
    """Scores on interferograms of regions that nothing was trained or chosen on.

    Attributes
    ----------
    model : Scores
        The registered model, the mean of all seeds. ``overall`` is the test part; ``unseen_regions`` that and all
        further interferograms of its regions, if there are any.
    baselines : dict of str to Scores
        ``statistics``: logistic regression on numbers that need no learning; ``labels_only``: the same network
        trained on the labelled patches alone; ``prior``: the share of deforming patches in the training part.
    seeds : dict
        ``seeds[part][score]`` is the mean, std, min and max over the single networks.
    """

    model: Scores
    baselines: dict[str, Scores]
    seeds: dict[str, dict[str, dict[str, float]]]

    @property
    def beats_baselines(self) -> bool:
        """Whether the AUROC of the model on the test is above that of every baseline."""
        return all(self.model["overall"]["auroc"] > one["overall"]["auroc"] for one in self.baselines.values())

    def flat(self) -> dict[str, float]:
        """Return the scores as one level of names, as the model registry and the tracker keep them."""
        flat = {
            f"{prefix}{name}": value
            for prefix, scores in {
                "": self.model["overall"],
                "unseen_regions_": self.model.get("unseen_regions", {}),
            }.items()
            for name, value in scores.items()
        }
        for baseline, scores in self.baselines.items():
            flat |= {f"{baseline}_{name}": value for name, value in scores["overall"].items()}
        for name, over in self.seeds["overall"].items():
            flat |= {f"seeds_{name}_{key}": over[key] for key in ("mean", "std")}
        return {name: value for name, value in flat.items() if np.isfinite(value)}


def score_of(truth: NDArray[np.bool_], probability: NDArray) -> dict[str, float]:
    """Return AUROC, AUPRC, Brier score, log loss, numbers, and what 90 % recall costs."""
    names = ("auroc", "auprc", "brier", "log_loss", "n", "events")
    scores = binary_scores(truth, np.clip(probability, 1e-6, 1 - 1e-6))
    point = flat_point(operating_point(truth, probability, recall=RECALL), RECALL)
    costs = ("false_alarm_rate", "precision", "threshold")
    named = {f"{name}_at_recall_90": point[f"{name}_at_recall_90"] for name in costs}
    return {name: scores[name] for name in names} | named


def statistics_of(patches: Patches) -> NDArray[np.float64]:
    """Return the statistics of patches that need no learning, shape (n, statistics)."""
    return patches.table[list(volcano.STATISTICS)].to_numpy(float)


def statistics_baseline(fit: NDArray, truth: NDArray[np.bool_], test: NDArray) -> NDArray[np.float64]:
    """Return the probabilities of a logistic regression on statistics, for the rows of ``test``."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000))
    return np.asarray(model.fit(fit, truth).predict_proba(test)[:, 1])


def parts_of(data: TrainingData) -> dict[str, NDArray[np.bool_]]:
    """Return which of the test and then the neighbouring patches each part of the scores is over."""
    count, near = len(data.test), len(data.neighbours)
    overall = np.arange(count + near) < count
    return {"overall": overall} | ({"unseen_regions": np.ones(count + near, bool)} if near else {})


def evaluate(
    data: TrainingData,
    probability: NDArray,
    seeds: Sequence[NDArray],
    baselines: Mapping[str, NDArray],
) -> Evaluation:
    """Score the model, its single seeds and the baselines.

    Parameters
    ----------
    data : TrainingData
        Whose test and neighbouring patches are scored, in this order.
    probability : numpy.ndarray of float, shape (test and neighbours,)
        Of deformation, by the model to register.
    seeds : sequence of numpy.ndarray
        The same by each single network.
    baselines : mapping of str to numpy.ndarray
        The same by each baseline.
    """
    truth = np.concatenate([data.test.deformation, data.neighbours.deformation])
    parts = parts_of(data)

    def scored(forecast: NDArray) -> Scores:
        return {part: score_of(truth[chosen], forecast[chosen]) for part, chosen in parts.items()}

    single = [scored(one) for one in seeds]
    return Evaluation(
        model=scored(probability),
        baselines={name: scored(forecast) for name, forecast in baselines.items()},
        seeds={part: over_seeds([one[part] for one in single]) for part in parts},
    )


def draw(
    data: TrainingData,
    probability: NDArray,
    baselines: Mapping[str, NDArray],
    runs: Sequence[dict[str, Any]],
    folder: Path,
    cube: str,
) -> list[Path]:
    """Draw learning curves, ROC and precision-recall beside the baselines, and calibration.

    Parameters
    ----------
    data, probability, baselines
        As of :func:`evaluate`.
    runs : sequence of dict
        What ``experiment.lagom`` returned for each seed.
    folder : pathlib.Path
        Where to write.
    cube : str
        Name of the set, for the titles.

    Returns
    -------
    list of pathlib.Path
        The PNG files.
    """
    truth = np.concatenate([data.test.deformation, data.neighbours.deformation])
    chosen = parts_of(data)["overall"]
    curves = [{"validation loss": [step["metric"] for step in run["history"]]} for run in runs]
    ranked = {"model": probability} | {name: one for name, one in baselines.items() if name != "prior"}
    named = f"{cube}: {int(chosen.sum())} interferograms of regions never trained on"
    return [
        learning_curve(
            curves,
            folder / "learning_curve.png",
            title=f"{cube}: validation loss, {len(runs)} seeds (reports every 100 steps)",
            ylabel="cross-entropy (natural logarithm)",
        ),
        draw_ranking(
            truth[chosen], {name: one[chosen] for name, one in ranked.items()}, folder / "ranking.png", title=named
        ),
        draw_calibration(
            {"model": calibration_table(truth[chosen], probability[chosen], bins=5)},
            folder / "calibration.png",
            title=named,
            event="deformation",
        ),
    ]
