"""The outlook: forecasts of months ahead on the minicube of a cube, by two networks behind one training function.

A network per pixel and a ConvLSTM are trained with the same seeds on the same patches and scored on time, and in large
enough minicubes also on places, that neither has seen. Which one is registered is decided on the validation period.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from maggy.experiment import experiment

from deepcube.oblivious import (
    MODEL_FILE,
    MlflowTracker,
    SingleRunConfig,
    Step,
    learning_curve,
    register_model,
    spread,
    upload_files,
)
from features.drought.minicube import MINICUBE_FILE
from features.drought.quantiles import LEVELS, error_quantiles, quantile_scores
from training_pipelines.drought.data import Floats
from training_pipelines.drought.model import load_network
from training_pipelines.drought.outlook_card import write_card
from training_pipelines.drought.space_time import KERNELS, MIDDLE, build_network, forecast, train_fn
from training_pipelines.drought.vegetation import vegetation_scores
from training_pipelines.drought.windows import Blocks, Planes, climatology
from training_pipelines.studies import TrainingDataError

HPARAMS: dict[str, Any] = {"hidden": 12, "learning_rate": 1e-3, "batch_size": 16, "epochs": 12, "patience": 3}
"""Small enough for a laptop's processor; published networks have 64 hidden channels."""

SIZES = {"train": 192, "validation": 96, "test": 160}
"""Patches to train on, drawn anew for every seed; to stop by; and to score on in each of the places, at most."""

_Scores = dict[str, dict[str, float]]
Tell = Callable[[float, str], None]


@dataclass(frozen=True, eq=False)
class Trained:
    """One kind of network, trained with several seeds.

    Attributes
    ----------
    networks : list of keras.Model
        One per seed.
    histories : list of list
        What each seed reported.
    validation_crps : float
        Mean over the seeds: what the choice between networks is made by.
    """

    networks: list[Any]
    histories: list[list[dict[str, Any]]]
    validation_crps: float

    def quantiles(self, blocks: Blocks) -> list[Floats]:
        """Return the forecast of every seed; their mean is that of the network to register."""
        return [forecast(network, blocks) for network in self.networks]


def train_outlook(
    project: Any, cube: str, view: Any, version: int, seeds: tuple[int, ...], tracker: MlflowTracker, tell: Tell
) -> dict[str, Any]:
    """Train, score and register the forecasts of months ahead of one cube.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project, whose files hold the minicube that the feature pipeline made.
    cube : str
        Name of the cube.
    view : hsfs.feature_view.FeatureView
        The drought feature view of the cube, for the lineage.
    version : int
        Version of its training dataset.
    seeds : tuple of int
        One network of each kind per seed.
    tracker : MlflowTracker
        Every network becomes a nested run.
    tell : callable
        Called as ``tell(fraction, message)``.

    Returns
    -------
    dict
        JSON-able: name and version of the model, ``chosen`` kind of network, ``reach``, the ``scores`` of both
        networks and the baselines by places, the ``seeds``' spread, and the figures in the project.

    Raises
    ------
    TrainingDataError
        If the project has no minicube of the cube, or it is too short.
    """
    with tempfile.TemporaryDirectory() as scratch:
        minicube = read_minicube(project, cube, Path(scratch))
        planes = Planes.of(minicube)
        validation = planes.random("validation", SIZES["validation"], seed=len(seeds))
        trained = {}
        for number, (kind, kernel) in enumerate(KERNELS.items()):
            start, width = 0.8 * number / len(KERNELS), 0.8 / len(KERNELS)

            def show(share: float, message: str, kind: str = kind, start: float = start, width: float = width) -> None:
                tell(start + width * share, f"{kind} {message}")

            trained[kind] = _train(planes, kernel, validation, seeds, tracker, show)
        tell(0.8, "scoring forecasts of months ahead")
        scores, over_seeds = score_outlook(planes, trained)
        chosen = min(trained, key=lambda kind: trained[kind].validation_crps)
        model = _mean(trained[chosen].networks)
        folder = Path(scratch) / "model"
        folder.mkdir()
        model.save(folder / MODEL_FILE, include_optimizer=False)
        tell(0.9, "explaining and registering the outlook")
        simulated = minicube.attrs["simulated"] == "True"
        shown = f"{cube} (simulated)" if simulated else cube
        figures = [
            learning_curve(
                [_curve(history) for history in trained[chosen].histories],
                folder / "outlook_learning_curve.png",
                title=f"{shown}: outlook by {chosen}, {len(seeds)} seeds",
                ylabel="CRPS of NDVI (unit 1)",
            )
        ]
        figures += write_card(folder, cube, simulated, planes, model, chosen, scores, over_seeds, seeds)
        registered = _register(project, cube, simulated, folder, planes, model, scores[chosen], view, version)
        uploaded = upload_files(project, figures, f"Resources/drought/{cube}")
    return {
        "name": registered.name,
        "version": registered.version,
        "chosen": chosen,
        "reach": {
            "context_steps": planes.reach.context,
            "horizon_steps": planes.reach.horizon,
            "step_days": float(minicube.attrs["step_days"]),
        },
        "channels": list(planes.names),
        "validation_crps": {kind: one.validation_crps for kind, one in trained.items()},
        "scores": scores,
        "seeds": over_seeds,
        "figures": uploaded,
    }


def read_minicube(project: Any, cube: str, folder: Path) -> xr.Dataset:
    """Download and open the minicube of a cube.

    Raises
    ------
    TrainingDataError
        If the project has none.
    """
    path, files = f"Resources/drought/{cube}/{MINICUBE_FILE}", project.get_dataset_api()
    if not files.exists(path):
        raise TrainingDataError(
            f"Found no {path} in the project; expected the minicube that the feature stage leaves there. "
            "Run it first: deepcube run drought --stage features."
        )
    return xr.load_dataset(files.download(path, str(folder), overwrite=True))


def score_outlook(
    planes: Planes, trained: dict[str, Trained]
) -> tuple[dict[str, _Scores], dict[str, dict[str, dict[str, dict[str, float]]]]]:
    """Score networks and baselines on later time, in the places seen in training and elsewhere.

    Parameters
    ----------
    planes : Planes
        The minicube.
    trained : dict of str to Trained
        The networks.

    Returns
    -------
    scores : dict
        ``scores[forecast][places]``: RMSE, CRPS, coverage and the scores by pixel. The distributions of the baselines
        are those of their errors in the validation period.
    seeds : dict
        ``seeds[network][places]["rmse" or "crps"]``: mean, std, min and max over the single networks.
    """
    before, _ = planes.every("validation", "seen", SIZES["test"])
    offsets = {
        name: error_quantiles(_rows(before.targets), _rows(one)) for name, one in baselines(planes, before).items()
    }
    scores: dict[str, _Scores] = {kind: {} for kind in (*trained, *offsets)}
    over_seeds: dict[str, Any] = {kind: {} for kind in trained}
    for where in ("seen", "elsewhere"):
        if not planes.places(where):
            continue
        blocks, _ = planes.every("test", where, SIZES["test"])
        if not np.isfinite(blocks.targets).any():
            continue
        normal = climatology(planes, blocks)
        for name, point in baselines(planes, blocks).items():
            spread_out = (_rows(point)[..., None] + offsets[name]).astype(np.float32)
            full = np.moveaxis(spread_out.reshape(*_moved(point).shape, -1), 3, 1)
            scores[name][where] = _score(blocks, point, full, normal)
        for kind, one in trained.items():
            forecasts = one.quantiles(blocks)
            mean = np.asarray(np.mean(forecasts, axis=0), np.float32)
            scores[kind][where] = _score(blocks, mean[..., MIDDLE], mean, normal)
            single = [_score(blocks, each[..., MIDDLE], each, normal) for each in forecasts]
            over_seeds[kind][where] = {
                key: spread([row[key] for row in single]) for key in ("rmse", "crps", "beats_climatology")
            }
    return scores, over_seeds


def baselines(planes: Planes, blocks: Blocks) -> dict[str, Floats]:
    """Return the two reference forecasts, shape (n, horizon, y, x): persistence and climatology."""
    return {
        "persistence": np.broadcast_to(blocks.persistence[:, None], blocks.targets.shape),
        "climatology": climatology(planes, blocks),
    }


def _train(
    planes: Planes, kernel: int, validation: Blocks, seeds: tuple[int, ...], tracker: MlflowTracker, tell: Tell
) -> Trained:
    networks, histories, found = [], [], []
    for number, seed in enumerate(seeds):

        def show(step: Step, number: int = number) -> bool:
            share = (number + (step.step + 1) / HPARAMS["epochs"]) / len(seeds)
            tell(share, f"seed {number + 1} of {len(seeds)}: validation CRPS {step.metric:.4f}")
            return False

        run = experiment.lagom(
            train_fn,
            SingleRunConfig(
                model=build_network,
                dataset=(planes, planes.random("train", SIZES["train"], seed), validation),
                hparams={**HPARAMS, "kernel": kernel},
                optimization_key="validation_crps",
                seed=seed,
                name=f"drought outlook, kernel {kernel}, seed {seed}",
                tracker=tracker,
                observers=[show],
            ),
        )
        networks.append(load_network(Path(run["directory"]) / MODEL_FILE))
        histories.append(run["history"])
        found.append(float(run["result"]["validation_crps"]))
    return Trained(networks, histories, float(np.mean(found)))


def _score(blocks: Blocks, point: Floats, quantiles: Floats, normal: Floats) -> dict[str, float]:
    truth = blocks.targets
    error = (point - truth)[np.isfinite(truth)].astype(np.float64)
    pixels = np.arange(blocks.persistence.size).reshape(blocks.persistence.shape)
    series = np.broadcast_to(pixels[:, None], truth.shape)
    by_pixel = vegetation_scores(truth, point, normal, series)
    return {
        "rmse": float(np.sqrt((error**2).mean())),
        **quantile_scores(truth, quantiles),
        **{name: value for name, value in by_pixel.items() if np.isfinite(value)},
        "n": error.size,
    }


def _moved(values: Floats) -> Floats:
    return np.moveaxis(values, 1, -1)


def _rows(values: Floats) -> Floats:
    """Return values (n, horizon, y, x) as rows (n * y * x, horizon)."""
    return _moved(values).reshape(-1, values.shape[1])


def _mean(networks: list[Any]) -> Any:
    """Return one network whose quantiles are the mean of several."""
    import keras

    inputs = keras.Input(networks[0].input_shape[1:], name="minicube")
    for number, network in enumerate(networks):
        network.name = f"member_{number}"
    members = [network(inputs) for network in networks]
    mean = members[0] if len(members) == 1 else keras.layers.Average(name="quantiles")(members)
    return keras.Model(inputs, mean, name="drought_outlook")


def _curve(history: list[dict[str, Any]]) -> dict[str, list[float]]:
    return {name: [step["metrics"][name] for step in history] for name in history[0]["metrics"]}


def _register(
    project: Any,
    cube: str,
    simulated: bool,
    folder: Path,
    planes: Planes,
    model: Any,
    scores: _Scores,
    view: Any,
    version: int,
) -> Any:
    blocks, _ = planes.every("test", "seen", 1)
    quantiles = forecast(model, blocks)[0, :, 0, 0]
    steps = planes.reach.horizon
    label = " (simulated)" if simulated else ""
    metrics = {
        f"{name}_{where}": float(value)
        for where, row in scores.items()
        for name, value in row.items()
        if np.isfinite(value)
    }
    return register_model(
        project,
        f"drought_outlook_{cube}",
        folder,
        metrics=metrics,
        inputs=pd.DataFrame(blocks.inputs[0, :5, 0, 0].astype(float), columns=list(planes.names)),
        outputs=pd.DataFrame(quantiles[:5].astype(float), columns=[f"ndvi_quantile_{level:g}" for level in LEVELS]),
        feature_view=view,
        training_dataset_version=version,
        description=f"Quantiles of NDVI of {cube}{label} up to {steps} steps ahead, on patches of its minicube.",
    )
