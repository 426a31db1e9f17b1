"""The model card of a wildfire model: its scores beside the baselines, what drives it, and how far to trust that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from deepcube.explain import (
    CardTable,
    ModelCard,
    draw_importance,
    explain,
    group_labels,
    grouped,
    importance_table,
    mean_attributions,
    permutation_importance,
    quality_table,
)
from deepcube.oblivious import Signature
from features.wildfire.usual import OUTPUT, USUAL, explained_model, explaining_methods, labelled, usual_conditions
from training_pipelines.wildfire.data import TrainingData
from training_pipelines.wildfire.evaluation import RECALL, Evaluation

if TYPE_CHECKING:
    import keras

_EXPLAINED, _SHUFFLED, _SCORED = 60, 1500, 12

LIMITS = [
    "Danger of a cell burning, from the weather up to the day before: that of the day itself is not known to it.",
    "Trained on burnt cells of one region; elsewhere it has to be trained again.",
    "Non-fires were thinned out; probabilities rest on the correction for that and on a calibration on one year.",
    "Burnt cells of one fire are not independent, so the number of fires that the scores rest on is smaller than that "
    "of burnt cells.",
    "Attributions say what the model used, not what caused a fire; correlated variables share credit.",
    "A ranked list of places supports a decision and replaces no fire service's own assessment.",
]
"""What readers of a danger map must know."""

NO_BETTER = "By AUROC or AUPRC a baseline ranks the held-out cases at least as well: see the metrics."
"""What stands above the limits of a model that its scores speak against."""

TABLE_LIMIT = "Trained on a table of a few hundred days; its question is of the day itself, not of the next."
"""The first limit of a model of a table of fire days."""


def add_card(
    folder: Path, model: keras.Model, data: TrainingData, scores: Evaluation, figures: Sequence[Path], split: Any
) -> Path:
    """Explain a wildfire model as a whole and write its card beside it, to be registered with it.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the model's artifact, which the card's files and figures are added to.
    model : keras.Model
        The model.
    data : TrainingData
        What it was trained and scored on; explanations are of held-out cases.
    scores : Evaluation
        Its scores.
    figures : sequence of pathlib.Path
        Figures of the evaluation, shown in the card.
    split : mapping of str to str
        What each part holds.

    Returns
    -------
    pathlib.Path
        The folder.
    """
    signature = Signature.load(folder)
    cube = str(signature.details["cube"])
    shown = f"{cube} (simulated)" if signature.details["simulated"] else cube
    table, quality = _explain(model, data, signature)
    drivers = draw_importance(
        table, folder / "global_importance.png", title=f"{shown}: what drives the model, held-out cases"
    )
    captions = {
        "What drives the model: mean absolute attribution by variable, and the loss after shuffling it": drivers,
        **{_CAPTIONS.get(path.stem, path.stem.replace("_", " ")): path for path in figures},
    }
    first = LIMITS[0] if "test_known" in data.parts else TABLE_LIMIT
    card = ModelCard(
        name=f"wildfire_{cube}",
        purpose=f"Probability that a cell of {shown} burns on the target date, for danger maps and for places at risk.",
        data={
            "cube": cube,
            "simulated": "yes: a simulator made the cube, and the scores say nothing of the real world"
            if signature.details["simulated"]
            else "no",
            "feature view": f"{signature.feature_view}, version {signature.feature_view_version}",
            "training dataset": f"version {signature.training_dataset_version}",
            "cases (fires)": ", ".join(f"{p} {one['cases']} ({one['fires']})" for p, one in data.rows.items()),
            "class imbalance": "two non-fires for each fire in training; log-odds corrected for it by the prior "
            "(King and Zeng, 2001), then calibrated on validation (Platt, 1999); scores weighted to all cell-days",
        },
        split={name: str(value) for name, value in split.items()},
        metrics=_metrics(scores),
        explanations=table,
        explanation_quality=quality,
        limits=[*([] if scores.beats_baselines else [NO_BETTER]), first, *LIMITS[1:]],
        figures=captions,
        details={
            "family and hyperparameters": signature.details["hparams"],
            "chosen by": signature.details["study"],
            "seeds": signature.details["seeds"],
            "calibration": signature.details["calibration"],
            **_leads(scores),
            "alarms by class of the Fire Weather Index": scores.thresholds,
            "mlflow_run_id": signature.details["mlflow_run_id"],
        },
    )
    card.write(folder)
    return folder


_CAPTIONS = {
    "calibration": "Calibration: forecast probability and observed frequency of fire, with 95 % intervals",
    "ranking": "Hit rate against false alarms, and precision against hit rate, beside the baselines",
    "learning_curve": "Training and validation loss of all seeds",
    "ablation": "What is lost without each group of variables, on validation",
}


def _explain(model: keras.Model, data: TrainingData, signature: Signature) -> tuple[CardTable, CardTable]:
    """Return what drives the model by variable, and how good its explanations are."""
    random, test = np.random.default_rng(0), data.parts["test"]
    traced, method = explained_model(model, data.names), explaining_methods(model)[0]
    named: dict[str, Any] = {"outputs": [OUTPUT], "output_units": "1"}
    means = dict(zip(data.names, data.means.tolist(), strict=True))
    # Half of the explained cases are fires: those are the explanations that people ask for.
    fires, calm = np.flatnonzero(test.fire), np.flatnonzero(~test.fire)
    half = min(_EXPLAINED // 2, len(fires), len(calm))
    chosen = np.concatenate([random.permutation(fires)[:half], random.permutation(calm)[:half]])

    def explained(rows: np.ndarray, **options: Any) -> xr.Dataset:
        table = pd.DataFrame(test.inputs[rows], columns=list(data.names))
        inputs = labelled(table, signature.inputs)
        baseline = labelled(usual_conditions(table, means), signature.inputs)
        return explain(traced, inputs, method, baseline=baseline, baseline_meaning=USUAL, **options, **named)

    by_variable = grouped(explained(chosen), "variable").rename({"variable": "feature"})
    quality = quality_table(explained(random.permutation(chosen)[:_SCORED], scores=True))
    rows = np.sort(random.permutation(len(test.fire))[:_SHUFFLED])
    inputs = labelled(pd.DataFrame(test.inputs[rows], columns=list(data.names)), signature.inputs)
    labels = group_labels(inputs, "variable")
    importance = permutation_importance(
        traced, inputs, truth=test.fire[rows].astype(float), groups=labels, loss=_log_loss, repeats=3, **named
    )
    variables = [
        str(inputs["variable"].values[int(np.argmax(labels.values == i))]) for i in range(int(labels.max()) + 1)
    ]
    importance = importance.assign_coords(feature=variables).sel(feature=by_variable["feature"].values)
    importance["importance"].attrs["units"] = "log loss"
    return importance_table(mean_attributions(by_variable), importance), quality


def _log_loss(truth: np.ndarray, odds: np.ndarray) -> float:
    """Return the mean log loss of log-odds."""
    return float(np.logaddexp(0.0, np.where(truth > 0.5, -odds, odds)).mean())


def _leads(scores: Evaluation) -> dict[str, str]:
    def said(one: dict[str, float]) -> str:
        return f"{one['difference']:+.2g} ({one['low']:+.2g} to {one['high']:+.2g})"

    return {
        f"ahead of {baseline}, {part.replace('_', ' ')}, with 95 % interval over its days": ", ".join(
            f"{score.upper()} {said(one)}" for score, one in found.items()
        )
        for part, table in scores.leads.items()
        for baseline, found in table.items()
    }


def _metrics(scores: Evaluation) -> CardTable:
    recall = f"recall_{round(100 * RECALL)}"
    names = {
        "auroc": "AUROC",
        "auprc": "AUPRC",
        "brier": "Brier",
        "brier_skill": "Brier skill",
        f"false_alarm_rate_at_{recall}": f"false-alarm rate at {RECALL:.0%} hits",
        f"false_alarms_per_map_at_{recall}": "false alarms per map-day there",
    }
    columns = ("forecast", "part", *names.values(), "AUROC over seeds, mean +- std", "AUPRC over seeds")
    rows: list[tuple[Any, ...]] = []
    for forecast, table in {"model": scores.model, **scores.baselines}.items():
        for part, row in table.items():
            over = scores.seeds[part] if forecast == "model" else {}
            spread = [
                f"{over[name]['mean']:.3g} +- {over[name]['std']:.2g}" if over else "" for name in ("auroc", "auprc")
            ]
            rows.append((forecast, part.replace("_", " "), *(row[name] for name in names), *spread))
    return CardTable(columns, rows)
