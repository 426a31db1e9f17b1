"""The drought network and its oblivious training function.

The network predicts how far NDVI will be from normal. Its forecast is the climatology at the target date, plus a damped
linear memory of past departures from normal, plus a small correction that a hidden layer learns, which also knows the
season::

    ndvi(t + h) = climatology(t + h) + w_h . d + v_h . gelu(U [d, s] + b) + c_h

with the standardised departures d (anomalies, gap flags, age of the last observation, and the weather's where it is an
input) and season s at the origin t.
Damped persistence of the anomaly has pure climatology as a special case, and that is where the network starts: the
weights of its last layers are zero. It departs from climatology only where that helps in the validation year. The level
of NDVI is no input of the learnt part: with few years to learn from, it would learn the years by heart.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepcube.oblivious import MODEL_FILE
from features import drought
from training_pipelines.drought.data import Floats, Samples

if TYPE_CHECKING:
    import keras

    from deepcube.oblivious import Reporter

DEPARTURES = [
    *(f"ndvi_anomaly_lag_{lag}" for lag in drought.LAGS),
    *(f"gap_lag_{lag}" for lag in drought.LAGS),
    "steps_since_observation",
]
"""Inputs that say how the past departed from normal, and how well it was seen."""

SEASON = ["season_sin", "season_cos"]
"""Inputs that say when in the year the forecast is made."""

_CHUNK = 8192

_CLIP = 5.0
"""Standardised inputs are cut at so many standard deviations: a rare long gap must not dominate a linear term."""


def build_model(inputs: Floats, *, units: int, l2: float) -> "keras.Model":
    """Build the untrained network, with the normalisation of the training inputs inside it.

    Parameters
    ----------
    inputs : numpy.ndarray of float32, shape (rows, features)
        Inputs **of the training period only**: their mean and variance become part of the model, so that serving
        needs no second copy of them.
    units : int
        Width of the hidden layer; 0 for none.
    l2 : float
        Weight of the squared-weights penalty.

    Returns
    -------
    keras.Model
        From raw inputs (rows, features) to NDVI (rows, horizons).
    """
    import keras

    horizons = len(drought.HORIZONS)
    regular = keras.regularizers.L2(l2)
    deviation = np.where(inputs.std(axis=0) < 1e-6, 1.0, inputs.std(axis=0))
    normal = keras.layers.Normalization(mean=inputs.mean(axis=0), variance=deviation**2, name="normalisation")

    raw = keras.Input((inputs.shape[1],), name="features")
    standardised = keras.ops.clip(normal(raw), -_CLIP, _CLIP)
    weather = list(range(len(drought.FEATURE_NAMES), inputs.shape[1]))  # departures, too, where the cube has them
    departures = keras.ops.take(standardised, _columns(DEPARTURES) + weather, axis=-1)
    last_layer = {"kernel_initializer": "zeros", "kernel_regularizer": regular}
    anomaly = keras.layers.Dense(horizons, name="memory", **last_layer)(departures)
    if units:
        context = keras.ops.take(standardised, _columns(DEPARTURES + SEASON) + weather, axis=-1)
        hidden = keras.layers.Dense(units, "gelu", kernel_regularizer=regular, name="hidden")(context)
        correction = keras.layers.Dense(horizons, use_bias=False, name="correction", **last_layer)(hidden)
        anomaly = keras.layers.Add(name="anomaly")([anomaly, correction])
    expected = keras.ops.take(raw, _columns(drought.CLIMATOLOGY), axis=-1)
    return keras.Model(raw, keras.layers.Add(name="ndvi")([expected, anomaly]), name="drought")


def masked_mse(truth: Any, forecast: Any) -> Any:
    """Squared error of each row over its observed targets only.

    Parameters
    ----------
    truth, forecast : tensor of float32, shape (rows, horizons)
        Targets, NaN where nothing was observed, and forecasts.

    Returns
    -------
    tensor of float32, shape (rows,)
        Sum of squared errors over the observed targets, divided by the number of horizons, so that every observed
        value weighs the same whatever row it is in.
    """
    import keras

    missing = keras.ops.isnan(truth)
    error = keras.ops.where(missing, 0.0, keras.ops.where(missing, 0.0, truth) - forecast)
    return keras.ops.mean(error**2, axis=-1)


def train_fn(hparams: dict[str, Any], model: Any, dataset: Any, reporter: "Reporter") -> dict[str, float]:
    """Train the network; the same function in every mode of training.

    Parameters
    ----------
    hparams : dict
        ``units``, ``l2``, ``learning_rate``, ``batch_size``, ``epochs``, and ``patience``: the epochs without an
        improvement of the validation loss (:func:`masked_mse`) by ``min_delta`` before training stops. The best
        weights are kept, which may be those of the start: climatology.
    model : callable
        Builds the untrained network: ``model(training_inputs, units=..., l2=...)``.
    dataset : tuple of Samples
        Training and validation period.
    reporter : Reporter
        Told the validation RMSE after each epoch, and where to leave the model.

    Returns
    -------
    dict of str to float
        ``validation_rmse`` and ``train_rmse`` of the kept weights (NDVI, unit 1), and ``epochs`` trained.
    """
    import keras

    train, validation = dataset
    network = model(train.inputs, units=hparams["units"], l2=hparams["l2"])
    # Compiling such a small network for the processor takes longer than training it.
    network.compile(
        optimizer=keras.optimizers.Adam(hparams["learning_rate"]),
        loss=masked_mse,
        metrics=[masked_mse],
        jit_compile=False,
    )
    untrained, climatology = network.get_weights(), _rmse(network, validation)
    scale = {"": _per_observation(train), "val_": _per_observation(validation)}

    def report(epoch: int, logs: dict[str, float]) -> None:
        rmse = {prefix: (logs[f"{prefix}masked_mse"] * factor) ** 0.5 for prefix, factor in scale.items()}
        reporter.broadcast(rmse["val_"], step=epoch, metrics={"train_rmse": rmse[""], "validation_rmse": rmse["val_"]})

    stop = keras.callbacks.EarlyStopping(
        "val_masked_mse",
        mode="min",
        min_delta=hparams["min_delta"],
        patience=hparams["patience"],
        restore_best_weights=True,
    )
    history = network.fit(
        train.inputs,
        train.targets,
        validation_data=(validation.inputs, validation.targets),
        batch_size=hparams["batch_size"],
        validation_batch_size=_CHUNK,
        epochs=hparams["epochs"],
        callbacks=[stop, keras.callbacks.LambdaCallback(on_epoch_end=report)],
        verbose=0,
    )
    if _rmse(network, validation) > climatology:
        network.set_weights(untrained)
    network.save(reporter.directory / MODEL_FILE, include_optimizer=False)
    return {
        "validation_rmse": _rmse(network, validation),
        "train_rmse": _rmse(network, train),
        "epochs": float(len(history.epoch)),
    }


def predict(model: "keras.Model", inputs: Floats) -> Floats:
    """Return the forecasts of many rows, shape (rows, horizons)."""
    chunks = [np.asarray(model(inputs[start : start + _CHUNK])) for start in range(0, len(inputs), _CHUNK)]
    return np.concatenate(chunks)


def load_network(path: Path) -> "keras.Model":
    """Load a network that :func:`train_fn` left, to predict with."""
    import keras

    return keras.saving.load_model(path, compile=False, safe_mode=True)


def ensemble(models: Sequence["keras.Model"]) -> "keras.Model":
    """Return one model whose forecast is the mean of several.

    Parameters
    ----------
    models : sequence of keras.Model
        Networks of different seeds over the same inputs.

    Returns
    -------
    keras.Model
        Their average, saved and explained as one model.
    """
    import keras

    raw = keras.Input(models[0].input_shape[1:], name="features")
    for index, member in enumerate(models):
        member.name = f"member_{index}"
    if len(models) == 1:
        return keras.Model(raw, models[0](raw), name="drought")
    return keras.Model(raw, keras.layers.Average(name="ndvi")([member(raw) for member in models]), name="drought")


def _columns(names: Sequence[str]) -> list[int]:
    return [drought.FEATURE_NAMES.index(name) for name in names]


def _per_observation(samples: Samples) -> float:
    """Factor from the mean over all targets to the mean over the observed ones."""
    return samples.targets.size / int(np.isfinite(samples.targets).sum())


def _rmse(network: "keras.Model", samples: Samples) -> float:
    error = predict(network, samples.inputs) - samples.targets
    return float(np.sqrt(np.nanmean(error.astype(np.float64) ** 2)))
