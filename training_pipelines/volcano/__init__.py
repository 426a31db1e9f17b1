"""Training pipeline of the volcano use case: simulation first, then unlabelled real patches, then few labels.

Patches are split by region, so that the volcanoes of the test are never trained on, and neither are their neighbours in
the same frames. Nothing is chosen on the test: the threshold of alerts comes from the validation part.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from maggy.experiment import experiment

from deepcube.oblivious import (
    MlflowTracker,
    Signature,
    SingleRunConfig,
    Step,
    register_model,
    save_artifact,
    upload_files,
    working_folder,
)
from features import volcano
from training_pipelines.binary_scores import operating_point
from training_pipelines.studies import TrainingDataError, check_mode
from training_pipelines.volcano.card import add_card, draw_examples, localisation
from training_pipelines.volcano.data import TrainingData, read_training_data
from training_pipelines.volcano.evaluation import (
    RECALL,
    draw,
    evaluate,
    statistics_baseline,
    statistics_of,
)
from training_pipelines.volcano.kinds import save_kinds, train_kinds
from training_pipelines.volcano.model import (
    NETWORK_FILE,
    Material,
    build_head,
    build_network,
    ensemble,
    load_network,
    probabilities,
    train_fn,
)
from training_pipelines.volcano.scenes import Batch, joined, make_bank, make_batch

if TYPE_CHECKING:
    import keras
    from hopsworks.project import Project

__all__ = ["HPARAMS", "MODES", "SEEDS", "TrainingDataError", "run"]

Progress = Callable[[float, str], None]
"""Told how much is done, from 0 to 1, and what is being done."""

MODES = ("single", "simulation-only", "no-unlabelled")
"""``single`` trains in all three steps; the others leave the later ones, or the unlabelled patches, out."""

SEEDS = (0, 1, 2, 3, 4)
"""One network per seed; the registered model is their mean."""

HPARAMS: dict[str, Any] = {
    "width": 16,
    "batch_size": 32,
    "learning_rate": 2e-3,
    "simulated_steps": 260,
    "unlabelled_steps": 20,
    "label_steps": 140,
    "quiet_share": 0.3,
    "labelled_share": 0.06,
    "bank": 2000,
    "validation_scenes": 256,
}
"""Chosen on simulated scenes and on the train part of the real patches."""

MAPS_FILE = "maps.keras"
"""File of the network that gives segmentation and embedding, beside the model's own."""

_SKIPPED = {"simulation-only": ("unlabelled_steps", "label_steps"), "no-unlabelled": ("unlabelled_steps",)}


def run(project: Project, cube: str, *, progress: Progress | None = None, mode: str = "single") -> dict[str, Any]:
    """Train, score and register the volcano model of one set of interferograms.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    cube : str
        Name of a set that the feature pipeline has written.
    progress : callable, optional
        Called as ``progress(fraction, message)``.
    mode : str
        One of :data:`MODES`.

    Returns
    -------
    dict
        JSON-able summary: model name and version with metrics, baselines, spread over seeds and localisation scores;
        training dataset version, rows; MLflow run; figures in the project.

    Raises
    ------
    TrainingDataError
        If the feature store holds nothing, or too little, of that set, or there is no such mode.
    """
    check_mode(mode, MODES)
    tell = progress or (lambda fraction, message: None)
    tell(0.0, f"reading the training data of {cube}")
    fs = project.get_feature_store()
    view = volcano.feature_view(fs, cube)
    data = read_training_data(view, cube)
    simulated = volcano.is_simulated(view)
    shown = f"{cube} (simulated)" if simulated else cube
    hparams = HPARAMS | dict.fromkeys(_SKIPPED.get(mode, ()), 0)
    lineage = {
        "feature_view": f"{view.name}/{view.version}",
        "training_dataset_version": data.version,
        "cube": cube,
        "simulated": simulated,
    }
    tracker = MlflowTracker(working_folder() / "mlflow", "volcano", lineage, name=f"volcano {cube}")

    with tempfile.TemporaryDirectory() as scratch, tracker:
        tell(0.02, "simulating scenes")
        material = _material(data, hparams)
        runs = [_train(material, hparams, seed, tracker, tell) for seed in SEEDS]
        networks = [load_network(Path(one["directory"]) / NETWORK_FILE) for one in runs]
        models = ensemble(networks)
        tell(0.8, "training the network that knows labels only, to compare with")
        baselines = _baselines(data, material, hparams, tracker)
        tell(0.88, "scoring on regions that were never trained on")
        held = np.concatenate([data.test.seen, data.neighbours.seen])
        probability = _predict(models[0], held)
        scores = evaluate(data, probability, [probabilities(one, held) for one in networks], baselines)
        tell(0.9, "learning to tell the types of simulated sources")
        kinds = train_kinds(material.bank, *_quiet(data, hparams))
        truth = localisation(*models, kinds, material.validation)
        checked = _predict(models[0], material.validation.seen)
        point = operating_point(material.validation.deformation[:, 0] == 1, checked, recall=RECALL)
        folder = Path(scratch)
        title = f"{shown}: regions never trained on"
        figures = [
            *draw(data, probability, baselines, runs, folder, shown),
            draw_examples(*models, data, folder / "examples.png", title),
        ]
        tracker.log_metrics(
            scores.flat() | {f"simulated_{name}": value for name, value in truth.items() if name != "types"}
        )
        for figure in figures:
            tracker.log_artifact(figure)

        tell(0.92, "explaining and registering the model")
        details = {
            "cube": cube,
            "simulated": simulated,
            "shown": shown,
            "threshold": point.threshold,
            "threshold_rule": f"{RECALL:.0%} recall on the validation part",
            "rows": data.rows,
            "localisation_on_simulated_scenes": truth,
            "seeds": list(SEEDS),
            "hparams": hparams,
            "mode": mode,
            "mlflow_run_id": tracker.run_id,
        }
        signature = Signature(
            inputs=volcano.CHANNELS,
            outputs=volcano.OUTPUTS[:1],
            input_units=dict.fromkeys(volcano.CHANNELS, "1"),
            output_units="1",
            feature_view=view.name,
            feature_view_version=view.version,
            training_dataset_version=data.version,
            details=details | {"metrics": scores.flat()},
        )
        artifact = save_artifact(folder / "model", models[0], signature)
        models[1].save(artifact / MAPS_FILE, include_optimizer=False)
        save_kinds(kinds, artifact)
        registered = register_model(
            project,
            f"volcano_{cube}",
            add_card(artifact, f"volcano_{cube}", models, data, scores, truth, details, figures),
            metrics=scores.flat(),
            inputs=pd.DataFrame(data.test.seen[0].reshape(-1, 2)[:5].astype(float), columns=volcano.CHANNELS),
            outputs=pd.DataFrame(np.asarray(models[0](held[:5])).astype(float), columns=volcano.OUTPUTS[:1]),
            feature_view=view,
            training_dataset_version=data.version,
            description=f"Deformation in wrapped interferograms of {shown}; mean of {len(runs)} networks. "
            f"MLflow run {tracker.run_id}.",
        )
        tracker.set_tags({"model": registered.name, "model_version": registered.version})
        uploaded = upload_files(project, figures, f"Resources/volcano/{cube}")

    tell(1.0, f"registered {registered.name} version {registered.version}")
    return {
        "cube": cube,
        "simulated": simulated,
        "feature_view": {"name": view.name, "version": view.version},
        "training_dataset_version": data.version,
        "rows": data.rows,
        "model": {
            "name": registered.name,
            "version": registered.version,
            "metrics": scores.model,
            "baselines": scores.baselines,
            "seeds": scores.seeds,
            "beats_baselines": scores.beats_baselines,
            "localisation_on_simulated_scenes": truth,
            "threshold": point.threshold,
        },
        "mode": mode,
        "mlflow": {"run_id": tracker.run_id, "uri": tracker.uri},
        "figures": uploaded,
    }


def _material(data: TrainingData, hparams: dict[str, Any]) -> Material:
    """Simulate the scenes to train and to validate on, and put the real patches beside them.

    Validation is on scenes of another bank, some of them over quiet patches of the validation's regions, and on the
    labelled patches of those regions.
    """
    quiet = data.validation.seen[~data.validation.deformation]
    bank = make_bank(max(hparams["validation_scenes"], 8), 99)
    scenes = make_batch(
        hparams["validation_scenes"],
        bank,
        np.random.default_rng(99),
        quiet=quiet if len(quiet) else None,
        share=hparams["quiet_share"] if len(quiet) else 0.0,
    )
    validation = joined([scenes, data.validation.batch()]) if len(data.validation) else scenes
    return Material(make_bank(hparams["bank"], 7), data.fit.seen, data.fit.batch(), validation)


def _train(
    material: Material, hparams: dict[str, Any], seed: int, tracker: Any, tell: Progress, name: str = "seed"
) -> dict[str, Any]:
    """Train one network in a run of its own, below the tracker's parent run."""
    done = SEEDS.index(seed)
    total = sum(hparams[part] for part in ("simulated_steps", "unlabelled_steps", "label_steps"))

    def show(step: Step) -> bool:
        share = (done + step.step / max(total, 1)) / len(SEEDS)
        tell(0.05 + 0.75 * share, f"seed {done + 1} of {len(SEEDS)}: validation loss {step.metric:.4f}")
        return False

    config = SingleRunConfig(
        model=(build_network, build_head),
        dataset=material,
        hparams=hparams | {"seed": seed},
        optimization_key="validation_loss",
        seed=seed,
        name=f"volcano {name} {seed}",
        tracker=tracker,
        observers=[show],
    )
    return dict(experiment.lagom(train_fn, config))


def _baselines(data: TrainingData, material: Material, hparams: dict[str, Any], tracker: Any) -> dict[str, Any]:
    """Return the probabilities of the baselines for the test and then the neighbouring patches."""
    rows = np.concatenate([statistics_of(data.test), statistics_of(data.neighbours)])
    held = np.concatenate([data.test.seen, data.neighbours.seen])
    labels = hparams | {"simulated_steps": 0, "unlabelled_steps": 0, "labelled_share": 1.0, "quiet_share": 0.0}
    labels["label_steps"] = max(HPARAMS["label_steps"], 1)
    alone = _train(material, labels, SEEDS[0], tracker, lambda fraction, message: None, "labels only")
    network = load_network(Path(alone["directory"]) / NETWORK_FILE)
    return {
        "statistics": statistics_baseline(*_known(data, material.validation), rows),
        "labels_only": probabilities(network, held),
        "prior": np.full(len(held), float(data.fit.deformation.mean())),
    }


def _quiet(data: TrainingData, hparams: dict[str, Any]) -> tuple[np.ndarray | None, float]:
    """Return the quiet patches that may be trained on, and the share of scenes that are laid over them."""
    quiet = data.fit.seen[~data.fit.deformation]
    return (quiet, hparams["quiet_share"]) if len(quiet) else (None, 0.0)


def _known(data: TrainingData, scenes: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Return statistics and truth of what the statistical baseline learns from: labelled patches and scenes."""
    made = np.array([list(volcano.statistics(one).values()) for one in scenes.seen])
    return (
        np.concatenate([statistics_of(data.fit), made]),
        np.concatenate([data.fit.deformation, scenes.deformation[:, 0] == 1]),
    )


def _predict(model: keras.Model, seen: np.ndarray) -> np.ndarray:
    return np.concatenate([np.asarray(model(seen[i : i + 64]))[:, 0] for i in range(0, len(seen), 64)])
