"""The model card of an outlook: scores beside the baselines by places, and which channel at which lag drives it."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from deepcube.explain import CardTable, ModelCard, TracedModel, against_truth, explain, grouped, quality_table
from features.drought.quantiles import LEVELS
from training_pipelines.drought.space_time import MIDDLE
from training_pipelines.drought.windows import Blocks, Planes

_EXPLAINED, _STEPS = 4, 12
_PARTS = 2  # of the horizon, each explained by its mean

LIMITS = [
    "It knows no weather to come: published scores of networks that are given it are not comparable.",
    "Trained and scored on one minicube; elsewhere it has to be trained again.",
    "NDVI is a proxy of vegetation, not of drought impact; clouds that the mask missed look like drought.",
    "A few hundred patches of few years: other years may be worse, and spread over seeds does not show that.",
    "Places held out lie beside those seen, so they share their weather.",
]
"""What readers of an outlook must know."""


def write_card(
    folder: Path,
    cube: str,
    simulated: bool,
    planes: Planes,
    model: Any,
    chosen: str,
    scores: dict[str, dict[str, dict[str, float]]],
    seeds: dict[str, Any],
    numbers: tuple[int, ...],
) -> list[Path]:
    """Explain an outlook as a whole and write its card beside it.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the model.
    cube : str
        Name of the cube.
    simulated : bool
        Whether it is simulated.
    planes : Planes
        The minicube.
    model : keras.Model
        The registered network.
    chosen : str
        Which kind it is.
    scores, seeds : dict
        As returned by :func:`training_pipelines.drought.outlook.score_outlook`.
    numbers : tuple of int
        The seeds.

    Returns
    -------
    list of pathlib.Path
        Figures of the card.
    """
    blocks, _ = planes.every("test", "seen", _EXPLAINED)
    explained = explain_outlook(planes, model, blocks)
    shown = f"{cube} (simulated)" if simulated else cube
    by_channel = grouped(explained, "channel")["attribution"]
    size = abs(by_channel).mean(["instance", "output"])
    order = [
        str(name) for name in size["channel"].values[np.argsort(-size.values)] if float(size.sel(channel=name)) > 0
    ]
    figure = _draw(explained, order[:10], folder / "outlook_drivers.png", f"{shown}: what drives the outlook")
    dates = {f"{name} start": getattr(planes.split, f"{name}_start") for name in ("train", "validation", "test")}
    dates |= {"places held out": f"columns from {planes.held_out}" if planes.places("elsewhere") else "none: too small"}
    details: dict[str, Any] = {"network": chosen, "seeds": list(numbers), "quantiles": list(LEVELS)}
    if simulated:
        details["attributions against the known truth (simulated)"] = truth_of(explained)
    ModelCard(
        name=f"drought_outlook_{cube}",
        purpose=f"NDVI of patches of {shown} up to {planes.reach.horizon} steps ahead, as quantiles, from "
        f"{planes.reach.context} steps of bands, weather, terrain and land cover as far as the cube has them.",
        data={
            "cube": cube,
            "simulated": "yes: a simulator made the cube, and the scores say nothing of the real world"
            if simulated
            else "no",
            "channels": ", ".join(planes.names),
        },
        split={name: str(value) for name, value in dates.items()},
        metrics=_metrics(scores, seeds),
        explanations=CardTable(
            ("channel", "mean |attribution| (NDVI, unit 1)"),
            [(name, float(size.sel(channel=name))) for name in order[:12]],
        ),
        explanation_quality=quality_table(explained),
        limits=LIMITS,
        figures={"What drives the outlook: mean absolute attribution by channel and step before the origin": figure},
        details=details,
    ).write(folder)
    return [figure]


def explain_outlook(planes: Planes, model: Any, blocks: Blocks) -> xr.Dataset:
    """Attribute the mean forecast of each half of the horizon to every channel, step and pixel.

    Parameters
    ----------
    planes : Planes
        The minicube.
    model : keras.Model
        From inputs to quantiles.
    blocks : Blocks
        What to explain.

    Returns
    -------
    xarray.Dataset
        Integrated Gradients with scores, dims (instance, output, step, y, x, channel), against normal conditions: NDVI
        seen at every step and equal to its climatology, bands at their mean, weather as usual.
    """
    import keras

    context, horizon = planes.reach.context, planes.reach.horizon
    inputs = keras.Input(model.input_shape[1:], name="minicube")
    median = model(inputs)[..., MIDDLE]
    halves = [median[:, part[0] : part[-1] + 1] for part in np.array_split(np.arange(horizon), _PARTS)]
    means = keras.ops.stack([keras.ops.mean(half, axis=(1, 2, 3)) for half in halves], axis=-1)
    baseline = blocks.inputs.copy()
    count = planes.observed.shape[-1]
    baseline[:, :context, :, :, :count] = 0.0
    baseline[:, :context, :, :, planes.names.index("observed")] = 1.0
    baseline[..., -2:] = 0.0
    dims, coords = (
        ("instance", "step", "y", "x", "channel"),
        {
            "step": np.arange(1 - context, horizon + 1),
            "channel": list(planes.names),
        },
    )
    return explain(
        TracedModel(keras.Model(inputs, means)),
        xr.DataArray(blocks.inputs, dims=dims, coords=coords),
        baseline=xr.DataArray(baseline, dims=dims, coords=coords),
        baseline_meaning="normal conditions: NDVI seen at every step and equal to its climatology, weather as usual",
        outputs=["first_half", "second_half"],
        output_units="1",
        samples=_STEPS,
        scores=["completeness_error", "deletion", "insertion", "complexity", "sparseness", "agreement"],
    )


def truth_of(explained: xr.Dataset) -> str:
    """Score attributions by channel against what drives vegetation in the simulator; clouds have no part in it."""
    by_channel = grouped(explained, "channel")
    differs = abs(by_channel["attribution"]).sum(["instance", "output"]) > 0
    chosen = by_channel.isel(channel=np.flatnonzero(differs.values))
    hides = [str(name) in ("observed", "age_of_last") for name in chosen["channel"].values]
    if not any(hides) or all(hides):
        return "not scored: no channel of clouds was attributed anything"
    found = against_truth(chosen, xr.DataArray(~np.array(hides), dims="channel"))
    return ", ".join(
        f"{name} {float(found[name].mean()):.3f}" for name in ("relevance_mass", "relevance_rank", "auroc")
    )


def _metrics(scores: dict[str, dict[str, dict[str, float]]], seeds: dict[str, Any]) -> CardTable:
    columns = (
        "forecast", "places", "RMSE (NDVI, unit 1)", "CRPS (NDVI, unit 1)", "in the central 80 %",
        "veg score", "share of pixels better than climatology", "RMSE over seeds, mean +- std",
    )  # fmt: skip
    rows: list[tuple[Any, ...]] = []
    for name, by_place in scores.items():
        for where, row in by_place.items():
            over = seeds.get(name, {}).get(where, {}).get("rmse")
            said = f"{over['mean']:.4f} +- {over['std']:.4f}" if over else ""
            values = [row.get(key) for key in ("rmse", "crps", "coverage_80", "veg_score", "beats_climatology")]
            rows.append((name, where, *values, said))
    return CardTable(columns, rows)


def _draw(explained: xr.Dataset, channels: list[str], path: Path, title: str) -> Path:
    by_step = abs(grouped(explained, ("step", "channel"))["attribution"]).mean(["instance", "output"])
    figure = Figure(figsize=(10, 0.32 * len(channels) + 1.8), layout="constrained")
    axes = figure.subplots()
    values = by_step.sel(channel=channels).transpose("channel", "step")
    steps = values["step"].values
    image = axes.imshow(
        values, aspect="auto", interpolation="nearest", cmap="viridis",
        extent=(steps[0] - 0.5, steps[-1] + 0.5, len(channels) - 0.5, -0.5),
    )  # fmt: skip
    axes.axvline(0.5, color="white", linewidth=1)
    axes.set_yticks(range(len(channels)), channels)
    axes.set(xlabel="step, 0 being the origin", title=title)
    figure.colorbar(image, ax=axes, label="mean |attribution| (NDVI, unit 1)")
    figure.savefig(path, dpi=120)
    return path
