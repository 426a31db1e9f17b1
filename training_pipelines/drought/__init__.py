"""Training pipeline of the drought use case: a feature view becomes a registered model with an honest score.

The periods are split in time; everything that is learnt, the normalisation included, is learnt from the training
period; the validation year stops the training; scores are from the held-out years, beside persistence and climatology.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from maggy.experiment import experiment

from deepcube.oblivious import (
    MODEL_FILE,
    MlflowTracker,
    Signature,
    Step,
    register_model,
    save_artifact,
    upload_files,
    working_folder,
)
from features import drought
from features.drought.quantiles import LEVELS
from training_pipelines.drought.card import add_card
from training_pipelines.drought.data import TrainingData, read_training_data, require_cube
from training_pipelines.drought.evaluation import Evaluation, draw, evaluate
from training_pipelines.drought.model import ensemble, load_network, predict, train_fn
from training_pipelines.drought.modes import MODES, config, study
from training_pipelines.drought.outlook import train_outlook
from training_pipelines.studies import Study, TrainingDataError, check_mode

if TYPE_CHECKING:
    from hopsworks.project import Project

__all__ = ["HPARAMS", "MODES", "SEEDS", "TrainingDataError", "run"]

Progress = Callable[[float, str], None]
"""Told how much is done, from 0 to 1, and what is being done."""

SEEDS = (0, 1, 2, 3, 4)
"""One network per seed; the registered model is their mean."""

HPARAMS: dict[str, Any] = {
    "units": 16,
    "l2": 0.1,
    "learning_rate": 1e-3,
    "epochs": 30,
    "patience": 4,
    "min_delta": 1e-5,
}
"""Chosen on the validation period of the two real cubes."""

_BATCHES = 50
_SMALLEST_BATCH = 128


def run(project: "Project", cube: str, *, progress: Progress | None = None, mode: str = "single") -> dict[str, Any]:
    """Train, score and register the drought model of one cube.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    cube : str
        Name of a cube that the feature pipeline has written.
    progress : callable, optional
        Called as ``progress(fraction, message)``.
    mode : str
        How to train: one of :data:`MODES`.

    Returns
    -------
    dict
        JSON-able summary: model name and version with metrics, baselines and spread over seeds; training dataset
        version, rows and dates; MLflow run; figures in the project; what the mode found.

    Raises
    ------
    TrainingDataError
        If the feature store holds nothing, or too little, of that cube, or there is no such mode.
    """
    check_mode(mode, MODES)
    report = progress or (lambda fraction, message: None)
    share = 0.3 if mode == "minicube" else 1.0  # the outlook takes the rest

    def tell(fraction: float, message: str) -> None:
        report(share * fraction, message)

    tell(0.0, f"reading the training data of {cube}")
    fs = project.get_feature_store()
    split = require_cube(fs, cube)
    view = drought.feature_view(fs, cube)
    data = read_training_data(view, split)
    lineage = {
        "feature_view": f"{view.name}/{view.version}",
        "training_dataset_version": data.version,
        "cube": cube,
        "simulated": drought.is_simulated(view),
    }
    tracker = MlflowTracker(working_folder() / "mlflow", "drought", lineage, name=f"drought {cube}")

    with tempfile.TemporaryDirectory() as scratch, tracker:
        hparams = {**HPARAMS, "batch_size": max(_SMALLEST_BATCH, len(data.train.inputs) // _BATCHES)}
        shown = f"{cube} (simulated)" if drought.is_simulated(view) else cube
        found = study(mode, data, hparams, tracker, tell, shown)
        runs = [_train(mode, data, found.hparams, seed, tracker, tell) for seed in SEEDS]
        networks = [load_network(Path(one["directory"]) / MODEL_FILE) for one in runs]
        model = ensemble(networks)
        tell(0.8, "scoring on held-out time")
        forecast = predict(model, data.test.inputs)
        single = [predict(network, data.test.inputs) for network in networks]
        scores = evaluate(data.test, forecast, single, (data.validation, predict(model, data.validation.inputs)))
        metrics, baselines = scores.tables()
        figures = [*draw(scores, runs, Path(scratch), shown), *found.figures]
        tracker.log_metrics(scores.flat())
        for figure in figures:
            tracker.log_artifact(figure)

        tell(0.85, "explaining and registering the model")
        signature = _signature(view, data, scores, cube, tracker.run_id, mode, found)
        example = pd.DataFrame(data.test.inputs[:5].astype(float), columns=data.test.names)
        registered = register_model(
            project,
            f"drought_{cube}",
            add_card(save_artifact(Path(scratch) / "model", model, signature), model, data, scores),
            metrics=scores.flat(),
            inputs=example,
            outputs=pd.DataFrame(forecast[:5].astype(float), columns=drought.LABELS),
            feature_view=view,
            training_dataset_version=data.version,
            description=f"NDVI of {shown} {len(drought.HORIZONS)} steps ahead; mean of {len(runs)} networks. "
            f"MLflow run {tracker.run_id}.",
        )
        tracker.set_tags({"model": registered.name, "model_version": registered.version})
        uploaded = upload_files(project, figures, f"Resources/drought/{cube}")
        outlook: dict[str, Any] = {}
        if mode == "minicube":
            outlook = train_outlook(
                project, cube, view, data.version, SEEDS, tracker, lambda f, m: report(share + (1 - share) * f, m)
            )

    report(1.0, f"registered {registered.name} version {registered.version}")
    return {
        "cube": cube,
        "simulated": drought.is_simulated(view),
        "feature_view": {"name": view.name, "version": view.version},
        "training_dataset_version": data.version,
        "rows": data.rows,
        "split": split.isoformat(),
        "model": {
            "name": registered.name,
            "version": registered.version,
            "metrics": metrics,
            "baselines": baselines,
            "seeds": scores.seeds,
            "beats_baselines": scores.beats_baselines,
            **({"outlook": outlook} if outlook else {}),
        },
        "mode": mode,
        "study": found.summary,
        **({"findings": {"study": found.summary}} if found.summary else {}),
        "mlflow": {"run_id": tracker.run_id, "uri": tracker.uri},
        "figures": uploaded + outlook.pop("figures", []),
    }


def _train(
    mode: str, data: TrainingData, hparams: dict[str, Any], seed: int, tracker: MlflowTracker, tell: Progress
) -> dict[str, Any]:
    """Train one network in a run of its own, below the tracker's parent run."""
    done, begin = SEEDS.index(seed), 0.4 if mode in ("hpo", "ablation") else 0.1

    def show(step: Step) -> bool:
        share = (done + (step.step + 1) / HPARAMS["epochs"]) / len(SEEDS)
        tell(begin + (0.8 - begin) * share, f"seed {done + 1} of {len(SEEDS)}: validation RMSE {step.metric:.4f}")
        return False

    one = config(mode, data, hparams, seed, tracker=tracker, observers=[show])
    return dict(experiment.lagom(train_fn, one))


def _signature(
    view: Any, data: TrainingData, scores: Evaluation, cube: str, mlflow_run_id: str, mode: str, found: Study
) -> Signature:
    units = dict.fromkeys(drought.FEATURE_NAMES, "1") | {"steps_since_observation": "steps"}
    units |= {name: drought.EXTRA_UNITS[name] for name in data.test.extra}
    return Signature(
        inputs=data.test.names,
        outputs=drought.LABELS,
        input_units=units,
        output_units="1",
        feature_view=view.name,
        feature_view_version=view.version,
        training_dataset_version=data.version,
        details={
            "cube": cube,
            "simulated": drought.is_simulated(view),
            "split": data.split.isoformat(),
            "metrics": scores.flat(),
            "quantiles": {"levels": list(LEVELS), "offsets": scores.offsets},
            "seeds": list(SEEDS),
            "hparams": found.hparams,
            "mode": mode,
            "study": found.summary,
            "mlflow_run_id": mlflow_run_id,
        },
    )
