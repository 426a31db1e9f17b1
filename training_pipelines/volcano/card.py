"""The card of a volcano model: scores beside baselines, what it needs to see, how far its maps are to be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from deepcube.explain import CardTable, ModelCard, TracedModel, activation_map, explain, quality_table
from features import volcano
from features.volcano.pictures import draw_phase, draw_support
from training_pipelines.volcano.data import TrainingData
from training_pipelines.volcano.evaluation import Evaluation
from training_pipelines.volcano.kinds import shapes_of
from training_pipelines.volcano.model import FEATURES
from training_pipelines.volcano.scenes import Batch, Floats

if TYPE_CHECKING:
    import keras

_SCORED, _STEPS = 3, 8

LIMITS = [
    "Trained on simulated deformation and few real examples; types (Mogi, dyke, sill) are learnt from "
    "simulation only, and a third of them is wrong even there.",
    "It sees the phase of one interferogram: no height, no weather, no earlier interferogram. Layered air over a high "
    "volcano can look like deformation.",
    "Fringes closer than six pixels of the image fade in what it sees; slow deformation of less than half a fringe is "
    "not what it was trained for.",
    "Activation maps say where the network found support, not what moved; the segmentation is the better outline.",
    "Probabilities rank interferograms, they are no frequencies: what deforms was made as common as what does not in "
    "training, and too few real patches of the validation deform to correct that. See the figure of calibration.",
    "An alert is a reason to look at the interferogram, not a forecast of an eruption.",
]
"""What readers of an alert must know."""


def localisation(model: keras.Model, maps: keras.Model, kinds: keras.Model, scenes: Batch) -> dict[str, Any]:
    """Score where the model sees deformation, and its type, against the truth of simulated scenes.

    Parameters
    ----------
    model, maps : keras.Model
        As :func:`training_pipelines.volcano.model.ensemble` returns them.
    kinds : keras.Model
        As :func:`training_pipelines.volcano.kinds.train_kinds` returns it.
    scenes : Batch
        Scenes; those that deform, with known masks, are looked at.

    Returns
    -------
    dict
        ``pointing``: share of scenes whose activation map is largest on deforming ground (Zhang et al., 2018,
        Top-down Neural Attention, IJCV 126), beside ``pointing_chance``, the mean deforming share; ``mask_iou``:
        intersection over union of the segmentation, all scenes together; ``type_accuracy``, with ``type_chance``, the
        share of the commonest type; ``n``; and ``types``, for each
        true type how often each type was told.
    """
    known = (scenes.deformation[:, 0] == 1) & (scenes.mask >= 0).all(axis=(1, 2, 3))
    seen, truth = scenes.seen[known], scenes.mask[known][..., 0] >= 0.5
    factor = volcano.SIDE // truth.shape[1]
    fine = truth.repeat(factor, axis=1).repeat(factor, axis=2).reshape(len(truth), -1)
    where = support(model, seen).reshape(len(seen), -1)
    segmented = np.asarray(maps(seen)["mask"]) >= 0.5
    true = scenes.kind[known][:, 0].astype(int)
    told = np.asarray(kinds(shapes_of(seen))).argmax(axis=1)
    return {
        "pointing": float(np.take_along_axis(fine, where.argmax(axis=1)[:, None], axis=1).mean()),
        "pointing_chance": float(fine.mean()),
        "mask_iou": float((segmented & truth).sum() / max((segmented | truth).sum(), 1)),
        "type_accuracy": float((told == true).mean()),
        "type_chance": float(np.bincount(true).max() / len(true)),
        "n": float(len(seen)),
        "types": {
            name: {other: int((told[true == i] == j).sum()) for j, other in enumerate(volcano.KINDS)}
            for i, name in enumerate(volcano.KINDS)
        },
    }


def support(model: keras.Model, seen: Floats) -> NDArray[np.float32]:
    """Return where activations support deformation (Grad-CAM), shape (rows, SIDE, SIDE), never negative."""
    found = activation_map(model, _labelled(seen), layer=FEATURES, outputs=volcano.OUTPUTS[:1])
    return np.asarray(found["activation_map"].sel(output="deformation").values)


def needs(model: keras.Model, data: TrainingData) -> CardTable:
    """Tell what the model needs to see: its scores when a part of the signal is taken away.

    Parameters
    ----------
    model : keras.Model
        From phasors to probabilities.
    data : TrainingData
        Whose test patches are shown to it.

    Returns
    -------
    CardTable
        AUROC, and the mean probability of deforming and of quiet patches, for each way to spoil the signal.
    """
    from sklearn.metrics import roc_auc_score

    seen, truth = data.test.seen, data.test.deformation
    length = np.maximum(np.linalg.norm(seen, axis=-1, keepdims=True), 1e-6)
    generator = np.random.default_rng(0)
    where = support(model, seen)
    most = where >= np.quantile(where, 0.8, axis=(1, 2), keepdims=True)
    random = np.stack([np.roll(one, generator.integers(volcano.SIDE, size=2), axis=(0, 1)) for one in most])
    noise = generator.uniform(-np.pi, np.pi, seen.shape[:-1])
    hidden = 0.4 * np.stack([np.cos(noise), np.sin(noise)], axis=-1)
    ways = {
        "nothing taken away": seen,
        "coherence (all pixels equally sure)": seen / length,
        "fringes (coherence kept, phase constant)": np.concatenate([length, 0 * length], axis=-1),
        "the fifth with most support by the activation map": np.where(most[..., None], hidden, seen),
        "a fifth of the same shape elsewhere": np.where(random[..., None], hidden, seen),
    }
    rows = []
    for name, spoilt in ways.items():
        probability = np.asarray(model(spoilt.astype(np.float32)))[:, 0]
        means = (float(probability[truth].mean()), float(probability[~truth].mean()))
        rows.append((name, float(roc_auc_score(truth, probability)), *means))
    return CardTable(("taken away", "AUROC", "mean probability, deforming", "mean probability, quiet"), rows)


def draw_examples(model: keras.Model, maps: keras.Model, data: TrainingData, path: Path, title: str) -> Path:
    """Draw test patches from the surest to the least sure, with activation map and segmentation, and say the truth."""
    from matplotlib.figure import Figure

    probability = np.asarray(model(data.test.seen))[:, 0]
    moves = data.test.deformation
    order = np.argsort(-probability)
    chosen = np.concatenate([order[moves[order]][:4], order[moves[order]][-2:], order[~moves[order]][:4]])
    seen = data.test.seen[chosen]
    where, mask = support(model, seen), np.asarray(maps(seen)["mask"])
    figure = Figure(figsize=(2.2 * len(chosen), 5.2), layout="constrained")
    panels = figure.subplots(2, len(chosen), squeeze=False)
    for column, number in enumerate(chosen):
        draw_phase(panels[0, column], seen[column])
        draw_phase(panels[1, column], seen[column])
        draw_support(panels[1, column], where[column], mask[column])
        said = "deforms" if moves[number] else "quiet"
        name = data.test.table["volcano"].iloc[number]
        panels[0, column].set_title(f"{name}\n{said}: p = {probability[number]:.2f}", fontsize=8)
    panels[0, 0].set_ylabel("row (pixels)", fontsize=8)
    panels[1, 0].set_ylabel("row (pixels)", fontsize=8)
    figure.supxlabel("column (pixels)", fontsize=8)
    figure.suptitle(f"{title}; below, support of deformation (bright) and outline (cyan)")
    figure.savefig(path, dpi=110)
    return path


def add_card(
    folder: Path,
    name: str,
    models: tuple[keras.Model, keras.Model],
    data: TrainingData,
    scores: Evaluation,
    truth: dict[str, Any],
    details: dict[str, Any],
    figures: list[Path],
) -> Path:
    """Explain a volcano model as a whole and write its card beside it, to be registered with it.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the model's artifact, which the card's files and figures are added to.
    name : str
        Name of the model.
    models : tuple of keras.Model
        The model and its maps.
    data : TrainingData
        What it was trained and scored on.
    scores : Evaluation
        Its scores.
    truth : dict
        As of :func:`localisation`.
    details : dict
        Settings and lineage, with ``cube``, ``simulated`` and ``shown``.
    figures : list of pathlib.Path
        Figures of the training.

    Returns
    -------
    pathlib.Path
        The folder.
    """
    model = models[0]
    moving = data.test.take(data.test.deformation)
    explained = explain(
        TracedModel(model),
        _labelled(moving.seen[:_SCORED]),
        baseline=_labelled(volcano.incoherent()[None])[0],
        baseline_meaning="noise without coherence: nothing to be seen",
        outputs=volcano.OUTPUTS[:1],
        samples=_STEPS,
        scores=["completeness_error", "complexity"],
    )
    quality = quality_table(explained)
    located = [
        ("pointing game", truth["pointing"], f"chance {truth['pointing_chance']:.2f}", "1", "high",
         "share of simulated scenes whose activation map is largest on deforming ground"),
        ("mask IoU", truth["mask_iou"], "", "1", "high", "overlap of the segmentation with the simulated truth"),
        ("type accuracy", truth["type_accuracy"], f"chance {truth['type_chance']:.2f}", "1", "high",
         "share of simulated sources whose type is recognised; " + _confusion(truth["types"])),
    ]  # fmt: skip
    card = ModelCard(
        name=name,
        purpose=f"Probability that the ground deforms in a wrapped interferogram, type and place ({details['shown']}).",
        data={
            "interferograms": str(details["cube"]),
            "simulated": "yes: a simulator made them, and the scores say nothing of the real world"
            if details["simulated"]
            else "the scored interferograms are real; most of what the model learnt from is simulated",
            **{f"{part} part": f"{n['patches']} patches, {n['deforming']} deforming" for part, n in data.rows.items()},
        },
        split={
            "rule": "by region: volcanoes and satellite frames with patches in common lie in one region",
            "test": "never trained on, nothing chosen on it, nor on further patches of its regions (neighbours)",
            "validation": "regions of its own, and simulated scenes; sets the alert threshold",
        },
        metrics=_metrics(scores),
        explanations=needs(model, data),
        explanation_quality=CardTable(quality.columns, [*quality.rows, *located]),
        limits=LIMITS,
        figures={path.stem.replace("_", " "): path for path in figures},
        details=details,
    )
    card.write(folder)
    return folder


def _confusion(types: dict[str, dict[str, int]]) -> str:
    rows = (f"{name}: " + ", ".join(f"{n} {other}" for other, n in told.items()) for name, told in types.items())
    return "true type: told types. " + "; ".join(rows)


def _metrics(scores: Evaluation) -> CardTable:
    columns = ("forecast", "part", "AUROC", "AUPRC", "false-alarm rate at 90 % recall", "n", "AUROC over seeds")
    rows: list[tuple[Any, ...]] = []
    for name, table in {"model": scores.model, **scores.baselines}.items():
        for part, row in table.items():
            over = scores.seeds[part]["auroc"] if name == "model" else None
            spread = f"{over['mean']:.3f} +- {over['std']:.3f}" if over else ""
            costs = row["false_alarm_rate_at_recall_90"]
            rows.append((name, part, row["auroc"], row["auprc"], costs, int(row["n"]), spread))
    return CardTable(columns, rows)


def _labelled(seen: Floats) -> xr.DataArray:
    return xr.DataArray(seen, dims=("instance", "y", "x", "channel"), coords={"channel": volcano.CHANNELS})
