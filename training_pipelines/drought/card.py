"""The model card of a drought model: its scores beside the baselines, what drives it, and how far to trust that."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from deepcube.explain import (
    CardTable,
    ModelCard,
    TracedModel,
    against_truth,
    ale,
    draw_effects,
    draw_importance,
    explain,
    importance_table,
    mean_attributions,
    permutation_importance,
    quality_table,
)
from deepcube.oblivious import Signature
from features import drought
from features.drought.normal import normal_conditions, normal_meaning
from training_pipelines.drought.data import TrainingData
from training_pipelines.drought.evaluation import Evaluation

if TYPE_CHECKING:
    import keras

_EXPLAINED, _SHUFFLED, _SCORED = 500, 2000, 50  # rows drawn from the held-out period
_EFFECTS = ["ndvi_anomaly_lag_0", "ndvi_anomaly_lag_1", "ndvi_climatology_step_1", "steps_since_observation"]

LIMITS = [
    "A forecast for one pixel from its own past: it knows no weather, soil, irrigation or neighbours.",
    "Trained and scored on one cube; elsewhere it has to be trained again.",
    "NDVI is a proxy of vegetation, not of drought impact; clouds that the mask missed look like drought.",
    "Attributions say what the model used, not what caused the vegetation to change; correlated lags share credit.",
    "Scores are of the held-out years named above; other years may be worse.",
]
"""What readers of a drought forecast must know."""

WEATHER_LIMIT = (
    "A forecast for one pixel from its own past and the weather of a coarser grid up to the origin: it knows no "
    "weather to come, no soil, irrigation or neighbours."
)
"""The first limit of a model that knows weather."""

NO_BETTER = "Its held-out error is not below that of both baselines: the better of them is preferable."
"""What stands above the limits of a model that its scores speak against."""


def add_card(folder: Path, model: "keras.Model", data: TrainingData, scores: Evaluation) -> Path:
    """Explain a drought model as a whole and write its card beside it, to be registered with it.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the model's artifact, which the card's files and figures are added to.
    model : keras.Model
        The model.
    data : TrainingData
        What it was trained and scored on; everything here is computed on rows of the held-out period.
    scores : Evaluation
        Its scores.

    Returns
    -------
    pathlib.Path
        The folder.
    """
    signature = Signature.load(folder)
    random, traced = np.random.default_rng(0), TracedModel(model)
    inputs = pd.DataFrame(data.test.inputs, columns=data.test.names)

    def drawn(count: int) -> np.ndarray:
        return np.sort(random.choice(len(inputs), min(count, len(inputs)), replace=False))

    named: dict[str, Any] = {"outputs": signature.outputs, "output_units": signature.output_units}
    some, few = inputs.iloc[drawn(_EXPLAINED)], inputs.iloc[drawn(_SCORED)]
    versus = {"baseline_meaning": normal_meaning(signature.inputs), **named}
    explained = explain(
        traced, _labelled(some, signature), baseline=_labelled(normal_conditions(some), signature), **versus
    )
    scored = explain(
        traced,
        _labelled(few, signature),
        baseline=_labelled(normal_conditions(few), signature),
        scores=True,
        samples=20,
        **versus,
    )
    chosen = drawn(_SHUFFLED)
    importance = permutation_importance(
        traced, _labelled(inputs.iloc[chosen], signature), truth=data.test.targets[chosen], repeats=5, **named
    )
    table = importance_table(mean_attributions(explained), importance)
    cube = signature.details["cube"]
    first = WEATHER_LIMIT if data.test.extra else LIMITS[0]
    truth = _against_truth(explained) if signature.details["simulated"] and data.test.extra else {}
    shown = f"{cube} (simulated)" if signature.details["simulated"] else cube
    effects = ale(traced, _labelled(some, signature), features=_EFFECTS, **named)
    figures = {
        "What drives the model: mean absolute attribution, and the loss after shuffling a feature": draw_importance(
            table, folder / "global_importance.png", title=f"{shown}: what drives the model, held-out period"
        ),
        "How the forecast depends on single inputs (accumulated local effects)": draw_effects(
            effects, folder / "global_effects.png", title=f"{shown}: accumulated local effects, held-out period"
        ),
    }
    card = ModelCard(
        name=f"drought_{cube}",
        purpose=f"NDVI of the pixels of {shown} {len(drought.HORIZONS)} steps ahead, from their own past, the season"
        f"{' and the weather' if data.test.extra else ''}.",
        data={
            "cube": str(cube),
            "simulated": "yes: a simulator made the cube, and the scores say nothing of the real world"
            if signature.details["simulated"]
            else "no",
            "feature view": f"{signature.feature_view}, version {signature.feature_view_version}",
            "training dataset": f"version {signature.training_dataset_version}",
            "rows": ", ".join(f"{part} {count}" for part, count in data.rows.items()),
        },
        split={name: str(value) for name, value in data.split.isoformat().items()},
        metrics=_metrics(scores),
        explanations=table,
        explanation_quality=quality_table(scored),
        limits=[*([] if scores.beats_baselines else [NO_BETTER]), first, *LIMITS[1:]],
        figures=figures,
        details={
            **{f"scores by pixel and as a distribution, {name}": said for name, said in _further(scores).items()},
            **truth,
            **{name: signature.details[name] for name in ("hparams", "seeds", "mlflow_run_id")},
        },
    )
    card.write(folder)
    return folder


def _against_truth(explained: xr.Dataset) -> dict[str, Any]:
    """Score the attributions against what drives vegetation in the simulator, which makes all clouds independently.

    There, NDVI follows its own past and soil water, which rain and heat make; whether a step was seen, and when last,
    has no part in it.
    """
    names = [str(name) for name in explained["feature"].values]
    watched = (*drought.CLIMATOLOGY, "ndvi_climatology_now", drought.PERSISTENCE, "season_sin", "season_cos")
    chosen = [name for name in names if name not in watched]  # these the forecast starts from
    drives = [name.startswith(("ndvi_anomaly", "rain_anomaly", "temperature_anomaly", "spi_")) for name in chosen]
    found = against_truth(explained.sel(feature=chosen), xr.DataArray(drives, dims="feature"))
    kept = {name: float(found[name].mean()) for name in ("relevance_mass", "relevance_rank", "auroc")}
    said = ", ".join(f"{name} {value:.3f}" for name, value in kept.items())
    return {"attributions against the known truth (simulated)": said}


def _metrics(scores: Evaluation) -> CardTable:
    columns = ("forecast", "horizon", "RMSE (NDVI, unit 1)", "R2", "values", "RMSE over seeds, mean +- std")
    rows: list[tuple[Any, ...]] = []
    for name, table in {"model": scores.model, **scores.baselines}.items():
        for output, row in table.items():
            over = scores.seeds[output]["rmse"] if name == "model" else None
            spread = f"{over['mean']:.4f} +- {over['std']:.4f}" if over else ""
            rows.append((name, output, row["rmse"], row["r2"], int(row["n"]), spread))
    return CardTable(columns, rows)


def _further(scores: Evaluation) -> dict[str, str]:
    """Say in words how good the forecasts are by pixel, and as distributions."""
    said = {}
    for name, parts in scores.further.items():
        values = {key: value for part in parts.values() for key, value in part.items()}
        said[name] = ", ".join(f"{key} {value:.4g}" for key, value in values.items())
    return said


def _labelled(table: pd.DataFrame, signature: Signature) -> xr.DataArray:
    units = [signature.input_units[name] for name in signature.inputs]
    coords = {"feature": signature.inputs, "units": ("feature", units)}
    return xr.DataArray(table[signature.inputs].to_numpy(np.float32), dims=("instance", "feature"), coords=coords)
