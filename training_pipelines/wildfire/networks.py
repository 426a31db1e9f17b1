"""The families of wildfire models, all of them Keras models from the same inputs to log-odds of fire.

Every family standardises its inputs by the training cases inside the model, so that serving needs no second copy of
that, and returns log-odds ``(rows, 1)`` of the thinned training sample. Boosted trees become a Keras model, too, in
:mod:`features.wildfire.trees`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import layers, ops

from features.wildfire import Layout
from features.wildfire.layout import PATCH

if TYPE_CHECKING:
    from training_pipelines.wildfire.data import Floats

_CLIP = 5.0
"""Standardised inputs are cut at so many standard deviations."""


def build_model(inputs: Floats, names: tuple[str, ...], hparams: dict[str, Any]) -> keras.Model:
    """Build an untrained network of the family that the hyperparameters name.

    Parameters
    ----------
    inputs : numpy.ndarray of float32, shape (rows, inputs)
        Inputs **of the training cases only**: their mean and variance become part of the model.
    names : tuple of str
        Names of the inputs.
    hparams : dict
        ``family``, ``units``, ``dropout`` and ``l2``.

    Returns
    -------
    keras.Model
        From raw inputs (rows, inputs) to log-odds (rows, 1).
    """
    layout = Layout(names)
    deviation = np.where(inputs.std(axis=0) < 1e-6, 1.0, inputs.std(axis=0))
    normal = layers.Normalization(mean=inputs.mean(axis=0), variance=deviation**2, name="normalisation")
    raw = keras.Input((len(names),), name="inputs")
    standard = ops.clip(normal(raw), -_CLIP, _CLIP)
    dense = {"kernel_regularizer": keras.regularizers.L2(hparams["l2"])}
    parts = [ops.take(standard, layout.context(), axis=-1)] if layout.context() else []
    encode = ENCODERS.get(hparams["family"])
    if encode is not None:
        parts.append(encode(standard, layout, hparams["units"], hparams["dropout"]))
    else:
        parts = [ops.take(standard, layout.table(), axis=-1)]
    joined = layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
    hidden = layers.Dropout(hparams["dropout"])(layers.Dense(hparams["units"], "gelu", **dense)(joined))
    return keras.Model(raw, layers.Dense(1, name="log_odds", **dense)(hidden), name=hparams["family"])


def _series(standard: Any, layout: Layout) -> Any:
    """Return the histories, shape (rows, days, variables), oldest day first."""
    flat = [position for day in layout.series() for position in day]
    return layers.Reshape((layout.history, len(layout.dynamic)))(ops.take(standard, flat, axis=-1))


def _lstm(standard: Any, layout: Layout, units: int, dropout: float) -> Any:
    return layers.LSTM(units, name="memory")(_series(standard, layout))


def _transformer(standard: Any, layout: Layout, units: int, dropout: float) -> Any:
    """Return the last day's token after one block of attention among days (Vaswani et al., 2017)."""
    # One projection for all days, with a bias for each: that is what tells them apart.
    projection = layers.EinsumDense("abc,cd->abd", output_shape=(layout.history, units), bias_axes="bd", name="days")
    days = projection(_series(standard, layout))
    mixed = layers.MultiHeadAttention(2, max(4, units // 2), dropout=dropout)(days, days)
    days = layers.LayerNormalization()(days + mixed)
    days = layers.LayerNormalization()(days + layers.Dense(units)(layers.Dense(2 * units, "gelu")(days)))
    return days[:, -1]


def _convlstm(standard: Any, layout: Layout, units: int, dropout: float) -> Any:
    """Return what a convolutional LSTM makes of ten days of weather over the neighbourhood (Shi et al., 2015)."""
    days, variables = layout.history, len(layout.dynamic)
    series = layers.Reshape((days, 1, 1, variables))(_series(standard, layout))
    series = ops.repeat(ops.repeat(series, PATCH, axis=2), PATCH, axis=3)
    around = ops.take(standard, layout.patches(), axis=-1)
    around = layers.Reshape((1, PATCH, PATCH, len(layout.neighbours)))(around)
    cube = layers.Concatenate()([series, ops.repeat(around, days, axis=1)])
    state = layers.ConvLSTM2D(max(4, units // 4), 3, padding="same", name="memory")(cube)
    middle = state[:, PATCH // 2, PATCH // 2]
    return layers.Concatenate()([middle, layers.GlobalAveragePooling2D()(state)])


ENCODERS: dict[str, Callable[[Any, Layout, int, float], Any]] = {
    "lstm": _lstm,
    "convlstm": _convlstm,
    "transformer": _transformer,
}
"""Encoders of the histories by family; ``dense`` has none."""


def families(layout: Layout) -> list[str]:
    """Return the families that fit inputs: sequence models need a history, convolutions a neighbourhood."""
    fitting = ["boosting", "dense"]
    if layout.history > 1:
        fitting += ["lstm", "transformer"]
        if layout.neighbours:
            fitting.append("convlstm")
    return fitting
