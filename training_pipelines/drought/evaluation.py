"""How good the drought model is: beside persistence and climatology, over the same rows, with the spread over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from deepcube.oblivious import learning_curve, score_bars, score_table, spread
from features import drought
from features.drought.quantiles import error_quantiles, quantile_scores
from training_pipelines.drought.data import Floats, Samples
from training_pipelines.drought.vegetation import vegetation_scores

Scores = dict[str, dict[str, float]]
"""``scores["overall" or horizon]`` is ``{"rmse", "r2", "n"}``."""


@dataclass(frozen=True)
class Evaluation:
    """Scores on the held-out test period; NDVI, unit 1.

    Attributes
    ----------
    model : Scores
        The registered model, the mean of all seeds.
    baselines : dict of str to Scores
        ``persistence`` and ``climatology``.
    seeds : dict
        ``seeds["overall" or horizon]["rmse" or "r2"]`` is the mean, std, min and max of the single networks.
    further : dict of str to Scores
        By forecast, the baselines included: ``"vegetation"``, the scores by pixel of
        :func:`training_pipelines.drought.vegetation.vegetation_scores`, and ``"distribution"``, those of
        :func:`features.drought.quantiles.quantile_scores`.
    offsets : list of list of float
        Quantiles of the model's errors in the validation period, by horizon and level: added to a forecast, they make
        it a distribution.
    """

    model: Scores
    baselines: dict[str, Scores]
    seeds: dict[str, dict[str, dict[str, float]]]
    further: dict[str, Scores] = field(default_factory=dict)
    offsets: list[list[float]] = field(default_factory=list)

    @property
    def beats_baselines(self) -> bool:
        """Whether the overall RMSE of the model is below that of both baselines."""
        return all(self.model["overall"]["rmse"] < scores["overall"]["rmse"] for scores in self.baselines.values())

    def tables(self) -> tuple[Scores, dict[str, Scores]]:
        """Return the scores of the model and of the baselines, by pixel and as distributions included."""
        full = {name: {**scores, **self.further.get(name, {})} for name, scores in self.baselines.items()}
        return {**self.model, **self.further.get("model", {})}, full

    def flat(self) -> dict[str, float]:
        """Return all scores as one level of names, as the model registry and the tracker keep them."""
        metrics = _flatten("", self.model)
        for name, scores in self.baselines.items():
            metrics |= _flatten(f"{name}_", scores)
        for name, parts in self.further.items():
            prefix = "" if name == "model" else f"{name}_"
            found = {f"{prefix}{key}": value for part in parts.values() for key, value in part.items()}
            metrics |= {key: value for key, value in found.items() if np.isfinite(value)}
        over_seeds = self.seeds["overall"]
        return metrics | {
            f"seeds_{name}_{key}": over_seeds[name][key] for name in over_seeds for key in ("mean", "std")
        }


def baseline_forecasts(samples: Samples) -> dict[str, Floats]:
    """Return the two reference forecasts, which are themselves among the inputs.

    Parameters
    ----------
    samples : Samples
        Rows to forecast.

    Returns
    -------
    dict of str to numpy.ndarray of float32, shape (rows, horizons)
        ``persistence``: the last NDVI observed at or before the origin, at every horizon. ``climatology``: the mean of
        the training years at each target date.
    """
    return {
        "persistence": samples.columns([drought.PERSISTENCE] * len(drought.HORIZONS)),
        "climatology": samples.columns(drought.CLIMATOLOGY),
    }


def evaluate(
    test: Samples, forecast: Floats, seeds: Sequence[Floats], validation: tuple[Samples, Floats] | None = None
) -> Evaluation:
    """Score the model, its single seeds and the baselines on the test period.

    Parameters
    ----------
    test : Samples
        Rows of the held-out period.
    forecast : numpy.ndarray of float, shape (rows, horizons)
        Forecast of the model to register.
    seeds : sequence of numpy.ndarray of float, shape (rows, horizons)
        Forecast of each single network.
    validation : tuple of Samples and numpy.ndarray of float, shape (rows, horizons), optional
        The validation period and the model's forecast of it, whose errors make distributions of the forecasts; every
        baseline gets that of its own errors.

    Returns
    -------
    Evaluation
        Scores over the observed targets.
    """
    forecasts = {"model": forecast, **baseline_forecasts(test)}
    table = score_table(test.targets, forecasts, drought.LABELS)
    further: dict[str, Scores] = {name: {"vegetation": _by_pixel(test, one)} for name, one in forecasts.items()}
    offsets: list[list[float]] = []
    if validation is not None:
        before = {"model": validation[1], **baseline_forecasts(validation[0])}
        for name, one in forecasts.items():
            errors = error_quantiles(validation[0].targets, before[name])
            further[name]["distribution"] = quantile_scores(test.targets, one[..., None] + errors)
            offsets = errors.tolist() if name == "model" else offsets
    single = score_table(test.targets, {str(index): one for index, one in enumerate(seeds)}, drought.LABELS)
    return Evaluation(
        seeds={
            output: {key: spread([scores[output][key] for scores in single.values()]) for key in ("rmse", "r2")}
            for output in table["model"]
        },
        model=table.pop("model"),
        baselines=table,
        further=further,
        offsets=offsets,
    )


def _by_pixel(test: Samples, forecast: Floats) -> dict[str, float]:
    """Score every pixel at every horizon over the origins of the test period."""
    horizons = len(drought.HORIZONS)
    cells = (
        np.zeros(len(test.targets), np.int64) if test.cells is None else np.unique(test.cells, return_inverse=True)[1]
    )
    series = cells[:, None] * horizons + np.arange(horizons)
    return vegetation_scores(test.targets, forecast, baseline_forecasts(test)["climatology"], series)


def draw(evaluation: Evaluation, runs: Sequence[dict[str, Any]], folder: Path, cube: str) -> list[Path]:
    """Draw the learning curves of all seeds, and the RMSE beside the baselines.

    Parameters
    ----------
    evaluation : Evaluation
        Scores on the test period.
    runs : sequence of dict
        What ``experiment.lagom`` returned for each seed.
    folder : pathlib.Path
        Where to write.
    cube : str
        Name of the cube, for the titles.

    Returns
    -------
    list of pathlib.Path
        The PNG files.
    """
    curves = [
        {n: [step["metrics"][n] for step in run["history"]] for n in run["history"][0]["metrics"]} for run in runs
    ]
    rmse = {
        name: {output: row["rmse"] for output, row in scores.items()}
        for name, scores in {"model": evaluation.model, **evaluation.baselines}.items()
    }
    return [
        learning_curve(
            curves,
            folder / "learning_curve.png",
            title=f"{cube}: training and validation error, {len(runs)} seeds",
            ylabel="RMSE of NDVI (unit 1)",
        ),
        score_bars(
            rmse,
            folder / "rmse_against_baselines.png",
            title=f"{cube}: error on held-out time, with the spread of {len(runs)} seeds",
            ylabel="RMSE of NDVI (unit 1)",
            errors={"model": {output: row["rmse"]["std"] for output, row in evaluation.seeds.items()}},
        ),
    ]


def _flatten(prefix: str, scores: Scores) -> dict[str, float]:
    metrics = {f"{prefix}{key}": scores["overall"][key] for key in ("rmse", "r2")}
    for output in (name for name in scores if name != "overall"):
        metrics |= {f"{prefix}{key}_{output}": scores[output][key] for key in ("rmse", "r2")}
    return metrics
