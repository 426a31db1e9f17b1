"""Networks over space and time that forecast NDVI months ahead, and their oblivious training function.

A recurrent layer reads what was observed and goes on over the steps ahead, of which it knows the season, what is normal
and the ground. The kernel of its convolution makes the difference: of one pixel it is a network per pixel, of three a
ConvLSTM (Shi et al., 2015, Convolutional LSTM Network, NeurIPS, equation 3), which sees neighbours as well. Both give
quantiles::

    q(t + h) = normal(t + h) + s * (v . lstm(inputs)(t + h) + w_h . [departure seen last, its age] + c),

apart from each other by steps that are never negative. The last layers start at zero, that is at climatology.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from deepcube.oblivious import MODEL_FILE
from features.drought.quantiles import LEVELS
from training_pipelines.drought.data import Floats
from training_pipelines.drought.windows import Blocks, Planes

if TYPE_CHECKING:
    import keras

    from deepcube.oblivious import Reporter

KERNELS = {"per_pixel": 1, "convlstm": 3}
"""Width of the convolution of each network, in pixels."""

MIDDLE = LEVELS.index(0.5)
"""Position of the median, which is the forecast."""

_START = 0.25  # spread between neighbouring quantiles to begin with, in standard deviations
_PREDICTED = 64


def build_network(planes: Planes, *, kernel: int, hidden: int) -> "keras.Model":
    """Build an untrained network for patches of a minicube.

    Parameters
    ----------
    planes : Planes
        The minicube, for its channels, its reach and the spread of its departures.
    kernel : int
        Width of the convolution; see :data:`KERNELS`.
    hidden : int
        Channels of the recurrent layer.

    Returns
    -------
    keras.Model
        From inputs (n, context + horizon, y, x, channels) to quantiles of NDVI (n, horizon, y, x, levels).
    """
    import keras

    ops, horizon, levels = keras.ops, planes.reach.horizon, len(LEVELS)
    inputs = keras.Input((planes.reach.context + horizon, *planes.patch, len(planes.names)), name="minicube")
    states = keras.layers.ConvLSTM2D(hidden, kernel, padding="same", return_sequences=True, name="memory")(inputs)
    ahead, future = states[:, -horizon:], inputs[:, -horizon:]
    raw = keras.layers.Dense(levels, kernel_initializer="zeros", name="correction")(ahead)
    damped = keras.layers.EinsumDense(
        "bhyxc,hcq->bhyxq",
        (horizon, *planes.patch, levels),
        kernel_initializer="zeros",
        name="damped_persistence",
    )(future[..., -2:])
    raw = raw + damped
    step = ops.softplus(raw + float(np.log(np.expm1(_START))))
    middle = raw[..., MIDDLE : MIDDLE + 1]
    above = middle + ops.cumsum(step[..., MIDDLE + 1 :], axis=-1)
    below = middle - ops.flip(ops.cumsum(ops.flip(step[..., :MIDDLE], -1), axis=-1), -1)
    departure = ops.concatenate([below, middle, above], axis=-1) * planes.deviation
    normal = planes.names.index("normal")
    return keras.Model(inputs, departure + future[..., normal : normal + 1], name="drought_minicube")


def pinball(truth: Any, quantiles: Any) -> Any:
    """Twice the mean pinball loss over the levels, of the observed targets of each patch.

    Parameters
    ----------
    truth : tensor of float32, shape (n, horizon, y, x)
        NDVI; NaN where it does not count.
    quantiles : tensor of float32, shape (n, horizon, y, x, levels)
        Forecasts.

    Returns
    -------
    tensor of float32, shape (n,)
        Sum over the observed targets, divided by the number of all; see :func:`.quantiles.crps`.
    """
    import keras

    ops, levels = keras.ops, np.asarray(LEVELS, np.float32)
    missing = ops.isnan(truth)[..., None]
    error = ops.where(missing, 0.0, ops.where(missing, 0.0, truth[..., None]) - quantiles)
    return 2 * ops.mean(ops.maximum(levels * error, (levels - 1) * error), axis=(1, 2, 3, 4))


def train_fn(hparams: dict[str, Any], model: Any, dataset: Any, reporter: "Reporter") -> dict[str, float]:
    """Train a network; the same function for both networks and in every mode of training.

    Parameters
    ----------
    hparams : dict
        ``kernel``, ``hidden``, ``learning_rate``, ``batch_size``, ``epochs`` and ``patience``: epochs without a better
        validation score before training stops. The best weights are kept.
    model : callable
        Builds the untrained network: ``model(planes, kernel=..., hidden=...)``.
    dataset : tuple of Planes, Blocks, Blocks
        The minicube, and patches of its training and validation period.
    reporter : Reporter
        Told the validation score after each epoch, and where to leave the model.

    Returns
    -------
    dict of str to float
        ``validation_crps`` of the kept weights (NDVI, unit 1) and ``epochs`` trained.
    """
    import keras

    planes, train, validation = dataset
    network = model(planes, kernel=hparams["kernel"], hidden=hparams["hidden"])
    network.compile(keras.optimizers.Adam(hparams["learning_rate"]), loss=pinball, jit_compile=False)
    scale = {"": _per_observation(train), "val_": _per_observation(validation)}

    def report(epoch: int, logs: dict[str, float]) -> None:
        crps = {prefix: logs[f"{prefix}loss"] * factor for prefix, factor in scale.items()}
        reporter.broadcast(crps["val_"], step=epoch, metrics={"train_crps": crps[""], "validation_crps": crps["val_"]})

    stop = keras.callbacks.EarlyStopping("val_loss", patience=hparams["patience"], restore_best_weights=True)
    history = network.fit(
        train.inputs,
        train.targets,
        validation_data=(validation.inputs, validation.targets),
        batch_size=hparams["batch_size"],
        epochs=hparams["epochs"],
        callbacks=[stop, keras.callbacks.LambdaCallback(on_epoch_end=report)],
        verbose=0,
    )
    network.save(reporter.directory / MODEL_FILE, include_optimizer=False)
    return {"validation_crps": min(history.history["val_loss"]) * scale["val_"], "epochs": float(len(history.epoch))}


def forecast(network: "keras.Model", blocks: Blocks) -> Floats:
    """Return quantiles of NDVI, shape (n, horizon, y, x, levels)."""
    starts = range(0, len(blocks.inputs), _PREDICTED)
    return np.concatenate([np.asarray(network(blocks.inputs[i : i + _PREDICTED])) for i in starts])


def _per_observation(blocks: Blocks) -> float:
    """Factor from the mean over all targets to the mean over the observed ones."""
    return float(blocks.targets.size / max(1, int(np.isfinite(blocks.targets).sum())))
