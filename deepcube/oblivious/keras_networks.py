"""Small convolutional networks for patches in Keras; importing this module imports Keras and its backend.

They are those of :mod:`deepcube.oblivious.networks`, with channels last. They have group normalisation, which does not
mix rows: a batch that is divided among ranks gives what the whole one gives. Layers are called ``hidden...`` and
``filters...`` where :class:`~deepcube.oblivious.keras_strategies.JaxModel` may divide them.
"""

from typing import Any

import keras

Shape = tuple[int, int, int]
"""Height, width and channels of a patch."""


def encoder(shape: Shape = (16, 16, 1), width: int = 8) -> Any:
    """Return a network from patches to maps of features.

    Parameters
    ----------
    shape : tuple of int
        Height, width and channels of a patch; height and width are multiples of 16.
    width : int
        Features of the first of four layers; each halves height and width and doubles the features.

    Returns
    -------
    keras.Model
        From (rows, height, width, channels) to (rows, height / 16, width / 16, 8 * width); named ``encoder``.
    """
    patches = maps = keras.Input(shape)
    for number in range(4):
        features = width * 2**number
        maps = keras.layers.Conv2D(features, 3, strides=2, padding="same", name=f"filters_{number}")(maps)
        maps = keras.layers.GroupNormalization(min(8, features), name=f"norm_{number}")(maps)
        maps = keras.layers.ReLU(name=f"relu_{number}")(maps)
    return keras.Model(patches, maps, name="encoder")


def contrastive(shape: Shape = (16, 16, 1), width: int = 8) -> Any:
    """Return an encoder with the projection head of SimCLR: embeddings, shape (rows, 32).

    Parameters
    ----------
    shape, width
        As of :func:`encoder`.
    """
    patches = keras.Input(shape)
    features = _features(patches, shape, width)
    hidden = keras.layers.Dense(8 * width, activation="relu", name="hidden_head")(features)
    return keras.Model(patches, keras.layers.Dense(32, name="head")(hidden))


def restoring(shape: Shape = (16, 16, 1), width: int = 8) -> Any:
    """Return an encoder with a decoder that paints what was masked: patches, of the same shape.

    Parameters
    ----------
    shape, width
        As of :func:`encoder`.
    """
    patches = keras.Input(shape)
    maps = encoder(shape, width)(patches)
    for number, features in enumerate((4 * width, 2 * width, width, width)):
        maps = keras.layers.UpSampling2D(2)(maps)
        maps = keras.layers.Conv2D(features, 3, padding="same", activation="relu", name=f"filters_up_{number}")(maps)
    return keras.Model(patches, keras.layers.Conv2D(shape[2], 3, padding="same", name="paint")(maps))


def classifier(shape: Shape = (16, 16, 1), width: int = 8, classes: int = 2) -> Any:
    """Return an encoder with a linear layer: logits, shape (rows, classes).

    Parameters
    ----------
    shape, width
        As of :func:`encoder`.
    classes : int
        Number of classes.
    """
    patches = keras.Input(shape)
    return keras.Model(patches, keras.layers.Dense(classes, name="head")(_features(patches, shape, width)))


def _features(patches: Any, shape: Shape, width: int) -> Any:
    return keras.layers.GlobalAveragePooling2D()(encoder(shape, width)(patches))
