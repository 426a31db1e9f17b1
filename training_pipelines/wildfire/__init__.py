"""Training pipeline of the wildfire use case: a feature view becomes a registered model with an honest score.

Parts are split by year and by block of ground; whatever is learnt, the normalisation included, is learnt from the
training cases; family, hyperparameters, stopping and calibration are chosen on the validation cases; the test cases
are scored once, beside the Fire Weather Index and climatology.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from deepcube.oblivious import (
    MODEL_FILE,
    MlflowTracker,
    Signature,
    register_model,
    save_artifact,
    upload_files,
    working_folder,
)
from features import wildfire
from training_pipelines.studies import Study, TrainingDataError, check_mode
from training_pipelines.wildfire.card import add_card
from training_pipelines.wildfire.data import Samples, TrainingData, read_training_data, require_cube
from training_pipelines.wildfire.evaluation import RECALL, Evaluation, draw, evaluate
from training_pipelines.wildfire.model import calibrate, ensemble, load_network, log_odds, probability, thinning
from training_pipelines.wildfire.modes import HPARAMS, MODES, study, train

if TYPE_CHECKING:
    from hopsworks.project import Project

__all__ = ["HPARAMS", "MODES", "SEEDS", "TrainingDataError", "run"]

Progress = Callable[[float, str], None]
"""Told how much is done, from 0 to 1, and what is being done."""

SEEDS = (0, 1, 2, 3, 4)
"""One model per seed; the registered model is their mean."""

OUTPUTS = ["log_odds", "log_odds_spread"]
"""Outputs of the registered model: log-odds of fire, and their standard deviation over the seeds."""


def run(project: Project, cube: str, *, progress: Progress | None = None, mode: str = "single") -> dict[str, Any]:
    """Train, score and register the wildfire model of one source.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    cube : str
        Name of a cube or table that the feature pipeline has written.
    progress : callable, optional
        Called as ``progress(fraction, message)``.
    mode : str
        How to train: one of :data:`MODES`.

    Returns
    -------
    dict
        JSON-able summary: model name and version with metrics, baselines and spread over seeds; training dataset
        version, cases and split; MLflow run; figures in the project; how family and hyperparameters were chosen.

    Raises
    ------
    TrainingDataError
        If the feature store holds nothing, or too little, of that source, or there is no such mode.
    """
    check_mode(mode, MODES)
    tell = progress or (lambda fraction, message: None)
    tell(0.0, f"reading the training data of {cube}")
    view = require_cube(project.get_feature_store(), cube)
    data = read_training_data(view)
    simulated = wildfire.is_simulated(view)
    shown = f"{cube} (simulated)" if simulated else cube
    lineage = {
        "feature_view": f"{view.name}/{view.version}",
        "training_dataset_version": data.version,
        "cube": cube,
        "simulated": simulated,
    }
    tracker = MlflowTracker(working_folder() / "mlflow", "wildfire", lineage, name=f"wildfire {cube}")
    with tempfile.TemporaryDirectory() as scratch, tracker:
        batch = max(64, len(data.train.fire) // 40)
        found = study(mode, data, {**HPARAMS, "batch_size": batch}, tracker, tell, shown)
        family = found.hparams["family"]
        runs: list[dict[str, Any]] = []
        for number, seed in enumerate(SEEDS):
            tell(0.6 + 0.2 * number / len(SEEDS), f"{family}, seed {number + 1} of {len(SEEDS)}")
            runs.append(train(data, found.hparams, seed, tracker=tracker))
        networks = [load_network(Path(one["directory"]) / MODEL_FILE) for one in runs]
        tell(0.8, "scoring on held-out years and ground")
        model, single, calibration = _combine(networks, data)
        odds = {part: log_odds(model, one.inputs) for part, one in data.parts.items()}
        scores = evaluate(data, odds, single, {part: _map_days(part, one) for part, one in data.parts.items()})
        figures = [*draw(scores, runs, len(SEEDS), Path(scratch), shown), *found.figures]
        tracker.log_metrics(scores.flat())
        for figure in figures:
            tracker.log_artifact(figure)

        tell(0.85, "explaining and registering the model")
        alarm = _threshold(odds["validation"], data.validation)
        signature = _signature(view, data, scores, cube, tracker.run_id, mode, found, {**calibration, "alarm": alarm})
        split = _split(data)
        folder = save_artifact(Path(scratch) / "model", model, signature)
        example = pd.DataFrame(data.parts["test"].inputs[:5].astype(float), columns=list(data.names))
        registered = register_model(
            project,
            f"wildfire_{cube}",
            add_card(folder, model, data, scores, figures, split),
            metrics=scores.flat(),
            inputs=example,
            outputs=pd.DataFrame(np.asarray(model(data.parts["test"].inputs[:5])).astype(float), columns=OUTPUTS),
            feature_view=view,
            training_dataset_version=data.version,
            description=f"Probability of fire in cells of {shown}: {family}, mean of {len(SEEDS)} seeds. "
            f"MLflow run {tracker.run_id}.",
        )
        tracker.set_tags({"model": registered.name, "model_version": registered.version})
        uploaded = upload_files(project, figures, f"Resources/wildfire/{cube}")
    tell(1.0, f"registered {registered.name} version {registered.version}")
    return {
        "cube": cube,
        "simulated": simulated,
        "feature_view": {"name": view.name, "version": view.version},
        "training_dataset_version": data.version,
        "rows": data.rows,
        "split": split,
        "model": {
            "name": registered.name,
            "version": registered.version,
            "family": family,
            "metrics": scores.model,
            "baselines": scores.baselines,
            "seeds": scores.seeds,
            "leads": scores.leads,
            "fwi_classes": scores.thresholds,
            "calibration_error": scores.calibration,
            "beats_baselines": scores.beats_baselines,
        },
        "mode": mode,
        "study": found.summary,
        "findings": {"study": found.summary},
        "mlflow": {"run_id": tracker.run_id, "uri": tracker.uri},
        "figures": uploaded,
    }


def _combine(networks: list[Any], data: TrainingData) -> tuple[Any, list[dict[str, Any]], dict[str, float]]:
    """Return the calibrated model of all seeds, the corrected log-odds of each seed by part, and the calibration."""
    shift = thinning(data.train)
    single = [
        {part: log_odds(network, samples.inputs) - shift for part, samples in data.parts.items()}
        for network in networks
    ]
    mean = np.mean([one["validation"] for one in single], axis=0)
    slope, offset = calibrate(mean, data.validation)
    calibration = {"prior_correction": -shift, "slope": slope, "offset": offset}
    return ensemble(networks, slope, offset - slope * shift), single, calibration


def _map_days(part: str, samples: Samples) -> int:
    """Return the days that the cases of a part are a sample of, from the first to the last of them."""
    return len(np.unique(samples.day)) if (samples.weight == 1).all() else int(np.ptp(samples.day).astype(int)) + 1


def _split(data: TrainingData) -> dict[str, str]:
    meaning = {
        "train": "training blocks",
        "validation": "validation blocks",
        "test": "test blocks: neither year nor ground seen",
        "test_known": "training blocks: ground seen, year not",
    }
    return {
        part: f"{one.day.min()} to {one.day.max()}"
        + (f", {meaning[part]}" if "test_known" in data.parts else "")
        + f"; {len(one.fire)} cases, {int(one.fire.sum())} fires"
        for part, one in data.parts.items()
    }


def _threshold(model_odds: Any, validation: Samples) -> float:
    """Return the probability from which on alarms catch the wanted share of the fires of validation."""
    from training_pipelines.binary_scores import operating_point

    chance = probability(model_odds)
    return operating_point(validation.fire, chance, recall=RECALL, weight=validation.weight).threshold


def _signature(
    view: Any,
    data: TrainingData,
    scores: Evaluation,
    cube: str,
    mlflow_run_id: str,
    mode: str,
    found: Study,
    calibration: dict[str, float],
) -> Signature:
    return Signature(
        inputs=list(data.names),
        outputs=OUTPUTS,
        input_units=wildfire.units_of(data.names),
        output_units="1",
        feature_view=view.name,
        feature_view_version=view.version,
        training_dataset_version=data.version,
        details={
            "cube": cube,
            "simulated": wildfire.is_simulated(view),
            "test_start": str(data.parts["test"].day.min()),
            "means": dict(zip(data.names, data.means.astype(float).tolist(), strict=True)),
            "metrics": scores.flat(),
            "base_rate": float(np.average(data.train.fire, weights=data.train.weight)),
            "calibration": calibration,
            "seeds": list(SEEDS),
            "hparams": found.hparams,
            "mode": mode,
            "study": found.summary,
            "mlflow_run_id": mlflow_run_id,
        },
    )
