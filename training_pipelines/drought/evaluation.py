"""How good the drought model is: beside persistence and climatology, over the same rows, with the spread over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepcube.oblivious import learning_curve, score_bars, score_table, spread
from features import drought
from training_pipelines.drought.data import Floats, Samples

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
    """

    model: Scores
    baselines: dict[str, Scores]
    seeds: dict[str, dict[str, dict[str, float]]]

    @property
    def beats_baselines(self) -> bool:
        """Whether the overall RMSE of the model is below that of both baselines."""
        return all(self.model["overall"]["rmse"] < scores["overall"]["rmse"] for scores in self.baselines.values())

    def flat(self) -> dict[str, float]:
        """Return all scores as one level of names, as the model registry and the tracker keep them."""
        metrics = _flatten("", self.model)
        for name, scores in self.baselines.items():
            metrics |= _flatten(f"{name}_", scores)
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


def evaluate(test: Samples, forecast: Floats, seeds: Sequence[Floats]) -> Evaluation:
    """Score the model, its single seeds and the baselines on the test period.

    Parameters
    ----------
    test : Samples
        Rows of the held-out period.
    forecast : numpy.ndarray of float, shape (rows, horizons)
        Forecast of the model to register.
    seeds : sequence of numpy.ndarray of float, shape (rows, horizons)
        Forecast of each single network.

    Returns
    -------
    Evaluation
        Scores over the observed targets.
    """
    table = score_table(test.targets, {"model": forecast, **baseline_forecasts(test)}, drought.LABELS)
    single = score_table(test.targets, {str(index): one for index, one in enumerate(seeds)}, drought.LABELS)
    return Evaluation(
        seeds={
            output: {key: spread([scores[output][key] for scores in single.values()]) for key in ("rmse", "r2")}
            for output in table["model"]
        },
        model=table.pop("model"),
        baselines=table,
    )


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


def _curves(history: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    return {name: [step["metrics"][name] for step in history] for name in history[0]["metrics"]}


def _flatten(prefix: str, scores: Scores) -> dict[str, float]:
    metrics = {f"{prefix}{key}": scores["overall"][key] for key in ("rmse", "r2")}
    for output in (name for name in scores if name != "overall"):
        metrics |= {f"{prefix}{key}_{output}": scores[output][key] for key in ("rmse", "r2")}
    return metrics
