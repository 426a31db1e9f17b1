"""How good the wildfire models are: beside the Fire Weather Index and climatology, with the spread over seeds.

All scores are weighted by the cell-days that a case stands for, so they are of all cell-days. Baselines are fitted on
the training cases as the model is: a logistic regression on the index alone, and the frequency of fire by month and
land cover.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from deepcube.oblivious import learning_curve
from features.wildfire.layout import COVER
from training_pipelines.binary_figures import draw_calibration, draw_ranking
from training_pipelines.binary_leads import lead
from training_pipelines.binary_scores import (
    binary_scores,
    calibration_table,
    flat_point,
    operating_point,
    over_seeds,
)
from training_pipelines.wildfire.data import Samples, TrainingData, Weights
from training_pipelines.wildfire.model import LogOdds, calibrate, probability

RECALL = 0.9
"""Share of the burnt cells that alarms must catch where false alarms are counted."""

CLASSES = {"moderate": 11.2, "high": 21.3, "very high": 38.0, "extreme": 50.0}
"""Lowest Fire Weather Index of the danger classes of EFFIS, the European Forest Fire Information System."""

Scores = dict[str, dict[str, float]]
"""``scores[part]`` is a table of scores."""


@dataclass(frozen=True)
class Evaluation:
    """Scores on the held-out parts.

    Attributes
    ----------
    model : Scores
        The registered model, the mean of all seeds, by part: ``overall`` (unseen year and ground) and, for cubes,
        ``known_ground`` (unseen year).
    baselines : dict of str to Scores
        ``fwi`` and ``climatology``.
    seeds : dict of str to dict of str to dict
        ``seeds[part][score]`` is the mean, std, min, max and 95 % interval of the single models.
    thresholds : dict of str to dict of str to float
        Recall and false-alarm rate of the classes of the index in ``overall``.
    calibration : float
        Expected calibration error in ``overall``.
    leads : dict of str to dict of str to dict
        ``leads[part][baseline]``: how far the model ranks ahead of it, with the days drawn again; see
        :func:`training_pipelines.binary_leads.lead`.
    drawn : dict
        What the figures are drawn from.
    """

    model: Scores
    baselines: dict[str, Scores]
    seeds: dict[str, dict[str, dict[str, float]]]
    thresholds: dict[str, dict[str, float]]
    calibration: float
    leads: dict[str, dict[str, dict[str, dict[str, float]]]] = field(default_factory=dict)
    drawn: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def beats_baselines(self) -> bool:
        """Whether the model ranks better than both baselines, by AUROC and AUPRC, where ground and year are unseen."""
        ours = self.model["overall"]
        return all(
            ours[score] > scores["overall"][score] for scores in self.baselines.values() for score in ("auroc", "auprc")
        )

    def flat(self) -> dict[str, float]:
        """Return the scores as one level of names, as the model registry and the tracker keep them."""
        metrics = {f"{_prefix(part)}{name}": value for part, row in self.model.items() for name, value in row.items()}
        for baseline, scores in self.baselines.items():
            for part, row in scores.items():
                metrics |= {f"{baseline}_{_prefix(part)}{name}": value for name, value in row.items()}
        for name in ("auroc", "auprc", "brier"):
            for key in ("mean", "std"):
                metrics[f"seeds_{name}_{key}"] = self.seeds["overall"][name][key]
        return metrics | {"calibration_error": self.calibration}


class Climatology:
    """Frequency of fire by month and, where it is known, by the land cover around a cell; from training cases only.

    Parameters
    ----------
    train : Samples
        Training cases.

    Notes
    -----
    Month and land cover are taken as independent given fire; counts are smoothed by one case in each of their classes.
    """

    def __init__(self, train: Samples) -> None:
        self._covers = [f"cover_{name}" for name in COVER if f"cover_{name}" in train.names]
        weight = train.weight
        self._base = float(np.average(train.fire, weights=weight))
        self._month = self._ratio(_months(train), 13, train)
        self._cover = self._ratio(self._class(train), max(len(self._covers), 1), train)

    def __call__(self, samples: Samples) -> Weights:
        """Return the probability of each case, shape (rows,)."""
        ratio = self._month[_months(samples)] * self._cover[self._class(samples)]
        return np.asarray(np.clip(self._base * ratio, 1e-9, 1 - 1e-9))

    def _class(self, samples: Samples) -> np.ndarray:
        if not self._covers:
            return np.zeros(len(samples.fire), dtype=int)
        return np.argmax([samples.column(name) for name in self._covers], axis=0)

    @staticmethod
    def _ratio(classes: np.ndarray, count: int, train: Samples) -> Weights:
        """Return how much likelier than on the whole fire is in each class."""
        fires = np.bincount(classes[train.fire], train.weight[train.fire], count) + 1.0
        rest = train.weight[~train.fire]
        calm = np.bincount(classes[~train.fire], rest, count) + rest.mean()
        return np.asarray((fires / fires.sum()) / ((calm + fires) / (calm + fires).sum()))


def baseline_forecasts(data: TrainingData) -> dict[str, Any]:
    """Return the baselines, each a function from cases to probabilities, fitted on the training cases."""
    from sklearn.linear_model import LogisticRegression

    index = data.train.column("fwi_lag_0")[:, None]
    weight = data.train.weight / data.train.weight.mean()
    fitted = LogisticRegression(C=1e3, max_iter=1000).fit(index, data.train.fire, sample_weight=weight)

    def fwi(samples: Samples) -> Weights:
        return np.asarray(fitted.predict_proba(samples.column("fwi_lag_0")[:, None])[:, 1])

    return {"fwi": fwi, "climatology": Climatology(data.train)}


def evaluate(
    data: TrainingData,
    odds: Mapping[str, LogOdds],
    single: Sequence[Mapping[str, LogOdds]],
    map_days: Mapping[str, int],
) -> Evaluation:
    """Score the model, its single seeds and the baselines on the held-out parts.

    Parameters
    ----------
    data : TrainingData
        All parts.
    odds : mapping of str to numpy.ndarray
        Calibrated log-odds of the model to register, by part.
    single : sequence of mapping
        Uncalibrated log-odds of each seed, by part; each is calibrated on validation by itself.
    map_days : mapping of str to int
        Days of each part, of which the cases are a sample.

    Returns
    -------
    Evaluation
        Test parts under the names ``overall`` and ``known_ground``.
    """
    parts = {"overall": "test", **({"known_ground": "test_known"} if "test_known" in data.parts else {})}
    baselines = baseline_forecasts(data)
    model: Scores = {}
    others: dict[str, Scores] = {name: {} for name in baselines}
    spread, leads = {}, {}
    for shown, part in parts.items():
        samples = data.parts[part]
        model[shown] = score_part(samples, probability(odds[part]), map_days[part])
        for name, forecast in baselines.items():
            others[name][shown] = score_part(samples, forecast(samples), map_days[part])
        rows = [score_part(samples, _seed(one, part, data), map_days[part]) for one in single]
        spread[shown] = over_seeds(rows)
        leads[shown] = {
            name: lead(samples.fire, odds[part], forecast(samples), samples.day, samples.weight)
            for name, forecast in baselines.items()
        }
    test = data.parts["test"]
    forecasts = {"model": probability(odds["test"]), **{name: one(test) for name, one in baselines.items()}}
    tables = {name: calibration_table(test.fire, one, weight=test.weight) for name, one in forecasts.items()}
    return Evaluation(
        model,
        others,
        spread,
        _index_classes(test, map_days["test"]),
        float(tables["model"].attrs["ece"]),
        leads,
        {"forecasts": forecasts, "tables": tables, "test": test},
    )


def score_part(samples: Samples, forecast: Weights, map_days: int) -> dict[str, float]:
    """Return the scores of probabilities over the cases of a part, as of all its cell-days."""
    scores = binary_scores(samples.fire, forecast, samples.weight)
    point = operating_point(samples.fire, forecast, recall=RECALL, weight=samples.weight, maps=map_days)
    return scores | flat_point(point, RECALL)


def draw(evaluation: Evaluation, runs: Sequence[dict[str, Any]], seeds: int, folder: Path, shown: str) -> list[Path]:
    """Draw learning curves, calibration, and ranking beside the baselines; return the PNG files."""
    curves = [
        {name: [step["metrics"][name] for step in run["history"]] for name in run["history"][0]["metrics"]}
        for run in runs
        if run["history"]
    ]
    test = evaluation.drawn["test"]
    held_out = "unseen year and ground" if "known_ground" in evaluation.model else "held-out days"
    return [
        learning_curve(
            curves,
            folder / "learning_curve.png",
            title=f"{shown}: training and validation loss, {seeds} seeds",
            ylabel="log loss, balanced as in training (unit 1)",
        ),
        draw_calibration(
            evaluation.drawn["tables"],
            folder / "calibration.png",
            title=f"{shown}: calibration, {held_out}",
            event="fire",
        ),
        draw_ranking(
            test.fire,
            evaluation.drawn["forecasts"],
            folder / "ranking.png",
            title=f"{shown}: {held_out}, beside the baselines",
            weight=test.weight,
        ),
    ]


def _seed(odds: Mapping[str, LogOdds], part: str, data: TrainingData) -> Weights:
    return probability(odds[part], *calibrate(odds["validation"], data.validation))


def _index_classes(test: Samples, map_days: int) -> dict[str, dict[str, float]]:
    """Return what alarms from each danger class of the index on would have caught, and cost."""
    index = test.column("fwi_lag_0")
    table = {}
    for name, threshold in CLASSES.items():
        alarm = index >= threshold
        table[name] = {
            "threshold": threshold,
            "recall": float(np.average(alarm[test.fire], weights=test.weight[test.fire])),
            "false_alarm_rate": float(np.average(alarm[~test.fire], weights=test.weight[~test.fire])),
            "false_alarms_per_map": float(test.weight[alarm & ~test.fire].sum() / map_days),
        }
    return table


def _months(samples: Samples) -> np.ndarray:
    return samples.day.astype("datetime64[M]").astype(int) % 12 + 1


def _prefix(part: str) -> str:
    return "" if part == "overall" else f"{part}_"
