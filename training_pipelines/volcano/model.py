"""The volcano model: a small convolutional network over the multilooked phasor and its gradients, and its training.

Beside the phasor ``z`` the first layer computes ``z[i + 1] * conj(z[i])`` along rows and columns: the phase gradient
as a phasor, free of the wrapping and of the constant phase, long only where both pixels are coherent. Then a small
U-shaped network gives a map of activations, from which come, by its mean and maximum, an embedding, the probability of
deformation and its type, and cell by cell the segmentation.

It is trained in three steps: on simulated scenes; on unlabelled real patches, whose views must be told from those of
other patches (SimCLR: Chen et al., 2020, arXiv 2002.05709); and on few labelled real patches among scenes over quiet
real backgrounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.volcano import CHANNELS, EMBEDDING, KINDS, OUTPUTS, SIDE
from training_pipelines.volcano.scenes import Bank, Batch, Floats, joined, make_batch, random_views

if TYPE_CHECKING:
    import keras

    from deepcube.oblivious import Reporter

NETWORK_FILE = "network.keras"
"""File of one trained network, in the folder of its run."""

FEATURES = "features"
"""Name of the layer whose maps support the outputs."""

_CHUNK = 64
_REPORT = 100  # training steps from one report to the next
_TEMPERATURE = 0.5
_SMOOTHING = 0.05  # of the labels: experts and the simulator err


@dataclass(frozen=True, eq=False)
class Material:
    """What one network is trained on.

    Attributes
    ----------
    bank : Bank
        Parts of simulated scenes.
    unlabelled : numpy.ndarray of float32, shape (n, SIDE, SIDE, 2)
        Real patches without their labels; may be empty.
    labelled : Batch or None
        Few labelled patches.
    validation : Batch
        Scenes and patches that are not trained on.
    """

    bank: Bank
    unlabelled: Floats
    labelled: Batch | None
    validation: Batch


def build_network(width: int) -> keras.Model:
    """Build the untrained network.

    Parameters
    ----------
    width : int
        Features of the first layer; a multiple of 8.

    Returns
    -------
    keras.Model
        From phasors (rows, SIDE, SIDE, 2) to the map of activations, named :data:`FEATURES`, shape
        (rows, SIDE / 4, SIDE / 4, 4 width). :func:`build_head` reads it.
    """
    import keras
    from keras import layers, ops

    seen = keras.Input((SIDE, SIDE, len(CHANNELS)), name="phasor")
    real, imaginary = seen[..., :1], seen[..., 1:]

    def gradient(later: Any, earlier: Any, padding: list[list[int]]) -> list[Any]:
        a, b, c, d = real[later], imaginary[later], real[earlier], imaginary[earlier]
        return [ops.pad(a * c + b * d, padding), ops.pad(b * c - a * d, padding)]

    every, last, first = slice(None), slice(1, None), slice(None, -1)
    down = gradient((every, last), (every, first), [[0, 0], [0, 1], [0, 0], [0, 0]])
    across = gradient((every, every, last), (every, every, first), [[0, 0], [0, 0], [0, 1], [0, 0]])

    def block(x: Any, features: int, name: str | None = None, **options: Any) -> Any:
        x = layers.Conv2D(features, 3, padding="same", use_bias=False, **options)(x)
        return layers.ReLU(name=name)(layers.GroupNormalization(8)(x))

    half = block(layers.Concatenate()([real, imaginary, *down, *across]), width, strides=2)
    quarter = block(block(half, 2 * width, strides=2), 2 * width)
    eighth = block(block(quarter, 4 * width, strides=2), 4 * width)
    wide = block(eighth, 4 * width, dilation_rate=2)
    upper = layers.UpSampling2D(2, interpolation="bilinear")(wide)
    features = block(layers.Concatenate()([upper, quarter]), 4 * width, FEATURES)
    return keras.Model(seen, features, name="trunk")


def build_head(features: int) -> keras.Model:
    """Build the untrained layers that read the map of activations.

    They give ``logits`` (deformation, then types), ``mask`` (logits by cell) and ``embedding``. Types are an auxiliary
    task that shapes the features; those that people are told come from :mod:`training_pipelines.volcano.kinds`.
    """
    import keras
    from keras import layers

    maps = keras.Input((SIDE // 4, SIDE // 4, features), name="maps")
    pooled = layers.Concatenate()([layers.GlobalAveragePooling2D()(maps), layers.GlobalMaxPooling2D()(maps)])
    embedding = layers.Dense(EMBEDDING, "relu", name="embedding")(pooled)
    logits = layers.Dense(len(OUTPUTS), name="logits")(layers.Dropout(0.3)(embedding))
    mask = layers.Conv2D(1, 1, name="mask")(maps)
    return keras.Model(maps, {"logits": logits, "mask": mask, "embedding": embedding}, name="head")


def train_fn(hparams: dict[str, Any], model: Any, dataset: Any, reporter: Reporter) -> dict[str, float]:
    """Train one network in three steps; the same function in every mode of training.

    Parameters
    ----------
    hparams : dict
        ``width``, ``batch_size``, ``learning_rate``; ``simulated_steps``, ``unlabelled_steps`` and ``label_steps``,
        0 to leave one out; ``quiet_share`` of the scenes over real backgrounds and ``labelled_share`` of real patches
        in a batch of the last step; ``seed``.
    model : tuple of callable
        :func:`build_network` and :func:`build_head`.
    dataset : Material
        What to train on.
    reporter : Reporter
        Told the validation loss on the way, and where to leave the network.

    Returns
    -------
    dict of str to float
        ``validation_loss`` (cross-entropy of deformation, natural logarithm) and ``validation_auroc``.
    """
    import keras

    generator = np.random.default_rng([hparams["seed"], 1])
    trunk = model[0](hparams["width"])
    head = model[1](trunk.output_shape[-1])
    network = keras.Model(trunk.input, head(trunk.output), name="network")
    done = 0

    def fit(target: keras.Model, loss: Any, steps: int, rate: float, batches: Iterator[tuple[Any, Any]]) -> None:
        nonlocal done
        schedule = keras.optimizers.schedules.CosineDecay(rate, steps)
        # Compiling a small network for the processor takes longer than it saves.
        target.compile(keras.optimizers.AdamW(schedule, weight_decay=1e-3), loss=loss, jit_compile=False)
        for step in range(steps):
            x, y = next(batches)
            target.train_on_batch(x, y)
            done += 1
            if done % _REPORT == 0 or step == steps - 1:
                value = _validation_loss(network, dataset.validation)
                reporter.broadcast(value, done, metrics={"validation_loss": value})

    losses = {"logits": _logit_loss, "mask": _mask_loss, "embedding": None}
    rate, rows = hparams["learning_rate"], hparams["batch_size"]
    if hparams["simulated_steps"]:
        fit(network, losses, hparams["simulated_steps"], rate, _scene_batches(dataset, hparams, generator, real=False))
    if hparams["unlabelled_steps"] and len(dataset.unlabelled) >= rows:
        projected = keras.layers.Dense(32, name="projection")(network.output["embedding"])
        contrast = keras.Model(network.input, projected)
        views = _view_batches(dataset.unlabelled, rows, generator)
        for unused in ("logits", "mask"):
            head.get_layer(unused).trainable = False
        fit(contrast, contrastive_loss, hparams["unlabelled_steps"], 0.03 * rate, views)
        for unused in ("logits", "mask"):
            head.get_layer(unused).trainable = True
    if hparams["label_steps"] and dataset.labelled is not None:
        labelled = _scene_batches(dataset, hparams, generator, real=True)
        fit(network, losses, hparams["label_steps"], 0.5 * rate if hparams["simulated_steps"] else rate, labelled)
    network.save(reporter.directory / NETWORK_FILE, include_optimizer=False)
    from sklearn.metrics import roc_auc_score

    truth = dataset.validation.deformation[:, 0]
    return {
        "validation_loss": _validation_loss(network, dataset.validation),
        "validation_auroc": float(roc_auc_score(truth, probabilities(network, dataset.validation.seen))),
    }


def contrastive_loss(unused: Any, projected: Any) -> Any:
    """NT-Xent of SimCLR (Chen et al., 2020, arXiv 2002.05709, eq. 1), temperature 0.5, as Keras takes a loss.

    Parameters
    ----------
    unused : tensor
        Not looked at: there are no labels.
    projected : tensor of float32, shape (2 rows, features)
        Row i and row i + rows are two views of the same patch.

    Returns
    -------
    tensor of float32, shape (2 rows,)
        The loss of each view.
    """
    from keras import ops

    unit = projected / ops.maximum(ops.norm(projected, axis=1, keepdims=True), 1e-6)
    count = ops.shape(unit)[0]
    similar = unit @ ops.transpose(unit) / _TEMPERATURE - 1e9 * ops.eye(count)
    partner = ops.roll(ops.arange(count), count // 2)
    chosen = ops.take_along_axis(similar, partner[:, None], axis=1)[:, 0]
    return ops.logsumexp(similar, axis=1) - chosen


def probabilities(network: keras.Model, seen: Floats) -> Floats:
    """Return the probability of deformation by one network, shape (rows,)."""
    logits = [np.asarray(network(seen[i : i + _CHUNK])["logits"][:, 0]) for i in range(0, len(seen), _CHUNK)]
    return np.asarray(1 / (1 + np.exp(-np.concatenate(logits))))


def ensemble(networks: Sequence[keras.Model]) -> tuple[keras.Model, keras.Model]:
    """Return the mean of several networks as one, and the model of its maps.

    Parameters
    ----------
    networks : sequence of keras.Model
        Networks of different seeds.

    Returns
    -------
    model : keras.Model
        From phasors to the probability of deformation, shape (rows, 1): that of the mean logit. Its layer
        :data:`FEATURES` holds the maps of activations of all networks.
    maps : keras.Model
        From phasors to ``mask``, the probability that each cell deforms, shape (rows, SIDE / 4, SIDE / 4), and
        ``embedding``, shape (rows, EMBEDDING), the mean over the networks' embeddings.
    """
    import keras
    from keras import layers, ops

    seen = keras.Input((SIDE, SIDE, len(CHANNELS)), name="phasor")
    parts = []
    for number, network in enumerate(networks):
        head = network.get_layer("head")
        trunk = keras.Model(network.input, network.get_layer(FEATURES).output, name=f"trunk_{number}")
        head.name = f"head_{number}"
        parts.append((trunk(seen), head))
    together = layers.Concatenate(name=FEATURES) if len(parts) > 1 else layers.Identity(name=FEATURES)
    features = together([maps for maps, _ in parts] if len(parts) > 1 else parts[0][0])
    width = parts[0][0].shape[-1]
    given = [head(features[..., width * i : width * (i + 1)]) for i, (_, head) in enumerate(parts)]

    def mean(name: str) -> Any:
        return given[0][name] if len(given) == 1 else layers.Average()([one[name] for one in given])

    outputs = ops.sigmoid(mean("logits")[:, :1])
    mask = ops.sigmoid(mean("mask"))[..., 0]
    return (
        keras.Model(seen, outputs, name="volcano"),
        keras.Model(seen, {"mask": mask, "embedding": mean("embedding")}, name="volcano_maps"),
    )


def load_network(path: Path) -> keras.Model:
    """Load a network that :func:`train_fn` left, to predict with."""
    import keras

    return keras.saving.load_model(path, compile=False, safe_mode=True)


def _scene_batches(
    dataset: Material, hparams: dict[str, Any], generator: np.random.Generator, *, real: bool
) -> Iterator[tuple[Any, Any]]:
    rows = hparams["batch_size"]
    quiet, own = None, 0
    if real and dataset.labelled is not None:
        quiet = dataset.labelled.seen[dataset.labelled.deformation[:, 0] == 0]
        own = round(rows * hparams["labelled_share"])
    share = hparams["quiet_share"] if quiet is not None and len(quiet) else 0.0
    while True:
        parts = [make_batch(rows - own, dataset.bank, generator, quiet=quiet, share=share)] if own < rows else []
        if own and dataset.labelled is not None:
            parts.append(_drawn(dataset.labelled, own, generator))
        batch = joined(parts)
        target = np.concatenate([batch.deformation, batch.kind], axis=1)
        yield batch.seen, {"logits": target, "mask": batch.mask}


def _drawn(labelled: Batch, rows: int, generator: np.random.Generator) -> Batch:
    """Draw labelled patches, as many that deform as not, as views; their masks are then of another orientation."""
    moves = labelled.deformation[:, 0] == 1
    groups = [np.flatnonzero(group) for group in (moves, ~moves) if group.any()]
    chosen = np.array([generator.choice(groups[i % len(groups)]) for i in range(rows)])
    mask = np.where(labelled.deformation[chosen][:, :, None, None] == 0, labelled.mask[chosen], -1.0)
    views = random_views(labelled.seen[chosen], generator)
    return Batch(views, labelled.deformation[chosen], labelled.kind[chosen], mask.astype(np.float32))


def _view_batches(unlabelled: Floats, rows: int, generator: np.random.Generator) -> Iterator[tuple[Any, Any]]:
    while True:
        chosen = unlabelled[generator.choice(len(unlabelled), rows, replace=False)]
        views = np.concatenate([random_views(chosen, generator, hide=True) for _ in range(2)])
        yield views, np.zeros((len(views), 1), np.float32)


def _logit_loss(truth: Any, logits: Any) -> Any:
    """Cross-entropy of deformation, and, where it is known, a third of that of the type."""
    import keras
    from keras import ops

    moves = keras.losses.binary_crossentropy(truth[:, :1], logits[:, :1], from_logits=True, label_smoothing=_SMOOTHING)
    known = ops.cast(truth[:, 1] >= 0, logits.dtype)
    kind = ops.one_hot(ops.cast(ops.maximum(truth[:, 1], 0), "int32"), len(KINDS))
    types = keras.losses.categorical_crossentropy(kind, logits[:, 1:], from_logits=True)
    return moves + 0.3 * known * types


def _mask_loss(truth: Any, logits: Any) -> Any:
    """Cross-entropy of the cells whose truth is known, mean over all cells of a row."""
    from keras import ops

    known, share = ops.cast(truth >= 0, logits.dtype), ops.maximum(truth, 0)
    each = ops.maximum(logits, 0) - logits * share + ops.log1p(ops.exp(-ops.abs(logits)))
    return ops.mean(each * known, axis=(1, 2, 3))


def _validation_loss(network: keras.Model, validation: Batch) -> float:
    chance = np.clip(probabilities(network, validation.seen), 1e-6, 1 - 1e-6)
    truth = validation.deformation[:, 0]
    return float(-np.mean(truth * np.log(chance) + (1 - truth) * np.log(1 - chance)))
