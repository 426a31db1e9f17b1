"""Learning from cube patches without labels in Keras 3: contrastive (SimCLR) and by masked autoencoding (MAE).

What :mod:`deepcube.oblivious.selfsupervised` is for torch: ordinary oblivious training functions, on TensorFlow and on
JAX, alone, as trials of a search, and in every distributed mode. The dataset is a float32 array of patches, shape
(rows, height, width, channels). Importing this module imports Keras and its backend.

Views and masks are drawn for a whole epoch before it begins, so a process with all rows and a rank with its part see
the same ones.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from deepcube.oblivious.errors import ExperimentConfigError
from deepcube.oblivious.reporter import Reporter

WEIGHTS_FILE = "encoder.weights.h5"
"""The trained encoder's weights, in the run's folder."""

Patches = npt.NDArray[np.float32]

NOISE = 0.05
"""Standard deviation of the noise of a view, in the unit of the patches."""

_NEVER = -1e9
"""A logit whose probability is 0."""


def contrastive_loss(one: Any, other: Any, temperature: float) -> Any:
    """Return the NT-Xent loss of SimCLR (Chen et al., 2020, arXiv 2002.05709, eq. 1) with negatives of all ranks.

    Parameters
    ----------
    one, other : tensor, shape (rows, features)
        Embeddings of two views of the same patches, this rank's rows. All ranks must have equally many.
    temperature : float
        Divides the cosine similarities.

    Returns
    -------
    tensor, shape ()
        The mean over this rank's rows; the mean of the ranks' values is the loss over the global batch.
    """
    first, second = (keras.ops.normalize(each, axis=-1) for each in (one, other))
    rank, ranks = _rank()
    rows = keras.ops.shape(first)[0]
    everything = keras.ops.concatenate([_gathered(first), _gathered(second)])
    place = keras.ops.arange(rows, dtype="int32") + keras.ops.cast(rank * rows, "int32")
    across = keras.ops.cast(ranks * rows, "int32")
    places = keras.ops.concatenate([place, place + across])
    partners = keras.ops.concatenate([place + across, place])
    logits = keras.ops.matmul(keras.ops.concatenate([first, second]), keras.ops.transpose(everything)) / temperature
    itself = keras.ops.arange(2 * ranks * rows, dtype="int32")[None, :] == places[:, None]
    logits = keras.ops.where(itself, _NEVER, logits)
    return keras.ops.mean(keras.losses.sparse_categorical_crossentropy(partners, logits, from_logits=True))


def masked_loss(patches: Any, restored: Any, mask: Any) -> Any:
    """Return the mean squared error over masked pixels only (He et al., 2022, Masked Autoencoders, 3).

    Parameters
    ----------
    patches, restored : tensor, shape (rows, height, width, channels)
        Truth and reconstruction.
    mask : tensor of float, shape (rows, height, width, 1)
        1 where the network could not see, else 0.
    """
    weight = keras.ops.sum(mask) * patches.shape[-1]
    return keras.ops.sum(keras.ops.square(restored - patches) * mask) / keras.ops.maximum(weight, 1.0)


def random_view(patches: Patches, rng: np.random.Generator, noise: float = NOISE) -> Patches:
    """Return a random view of patches: a quarter turn, flip, shift, gain and noise of each.

    Parameters
    ----------
    patches : numpy.ndarray of float32, shape (rows, height, width, channels)
        Patches; height equal to width.
    rng : numpy.random.Generator
        Where the randomness comes from.
    noise : float
        Standard deviation of the added noise, in the unit of the patches.

    Raises
    ------
    ExperimentConfigError
        If patches are not square.
    """
    rows, size, width, _ = patches.shape
    if size != width:
        raise ExperimentConfigError(f"Found patches of {size} x {width} pixels; expected square ones, to turn them.")
    changed = patches.copy()
    turns = rng.integers(0, 4, rows)
    for turn in (1, 2, 3):
        changed[turns == turn] = np.rot90(changed[turns == turn], turn, axes=(1, 2))
    flips = rng.integers(0, 2, rows).astype(bool)
    changed[flips] = changed[flips, :, ::-1]
    shifts = rng.integers(-4, 5, (2, rows, 1))
    across, down = (np.arange(size)[None] - shifts) % size
    changed = changed[np.arange(rows)[:, None, None], down[:, :, None], across[:, None, :]]
    gain = rng.uniform(0.9, 1.1, (rows, 1, 1, 1))
    return (changed * gain + noise * rng.normal(size=changed.shape)).astype(np.float32)


def block_mask(patches: Patches, block: int, share: float, rng: np.random.Generator) -> Patches:
    """Return a mask of whole blocks, the same number in every row.

    Parameters
    ----------
    patches : numpy.ndarray, shape (rows, height, width, channels)
        What is masked.
    block : int
        Edge of a block, pixels; height and width are multiples of it.
    share : float
        Masked share of the blocks, between 0 and 1.
    rng : numpy.random.Generator
        Where the randomness comes from.

    Returns
    -------
    numpy.ndarray of float32, shape (rows, height, width, 1)
        1 where masked, else 0.

    Raises
    ------
    ExperimentConfigError
        If the patches are not whole blocks.
    """
    rows, height, width, _ = patches.shape
    if height % block or width % block:
        raise ExperimentConfigError(
            f"Found patches of {height} x {width} pixels and block={block}; expected a divisor of both."
        )
    high, wide = height // block, width // block
    order = rng.random((rows, high * wide)).argsort(1).argsort(1)
    masked = (order < round(share * high * wide)).reshape(rows, high, wide, 1)
    return masked.repeat(block, 1).repeat(block, 2).astype(np.float32)


def batches_of(rows: int, size: int, rng: np.random.Generator) -> Iterator[npt.NDArray[np.int_]]:
    """Yield the indices of batches for ever, in a new order each time round; a last batch that is smaller is left out.

    Parameters
    ----------
    rows : int
        Number of rows, at least ``size``.
    size : int
        Rows of a batch.
    rng : numpy.random.Generator
        Where the order comes from.
    """
    while True:
        yield from rng.permutation(rows)[: rows // size * size].reshape(-1, size)


class Learner(keras.Model):
    """A network with a loss of its own, which is the mean over the rows of all ranks.

    Parameters
    ----------
    network : keras.Model
        What is trained.
    loss_of : callable
        Gives the loss of this rank's rows from the inputs and from what :meth:`call` returned.
    """

    def __init__(self, network: Any, loss_of: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.network, self._loss_of = network, loss_of

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return what the network makes of ``inputs["seen"]``."""
        return self.network(inputs["seen"], training=training)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Return the loss, divided by the number of ranks, over which Keras on TensorFlow sums gradients."""
        return self._loss_of(x, y_pred) / _rank()[1]

    def fit_epoch(self, inputs: Mapping[str, Any], size: int, callbacks: Any = ()) -> float:
        """Train on batches of so many rows in the order given, and return the mean loss."""
        found = self.fit(dict(inputs), batch_size=size, shuffle=False, verbose=0, callbacks=list(callbacks))
        return float(found.history["loss"][-1])


class Contrasting(Learner):
    """A network that both views go through in one call."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return the embeddings of ``inputs["one"]`` and of ``inputs["other"]``."""
        both = keras.ops.concatenate([inputs["one"], inputs["other"]])
        return keras.ops.split(self.network(both, training=training), 2)


def contrastive_train_fn(
    model: Callable[..., Any], dataset: Any, hparams: Mapping[str, Any], reporter: Reporter, seed: int
) -> dict[str, float]:
    """Pre-train by SimCLR.

    Parameters
    ----------
    model : callable
        Builds :func:`~deepcube.oblivious.keras_networks.contrastive` or the like: patches to embeddings, with a layer
        named ``encoder``.
    dataset : numpy.ndarray of float32, shape (rows, height, width, channels)
        Patches.
    hparams, reporter, seed
        As of :func:`deepcube.oblivious.selfsupervised.contrastive_train_fn`, whose result this has, too.
    """
    learner = Contrasting(model(), lambda x, pairs: contrastive_loss(pairs[0], pairs[1], hparams["temperature"]))

    def views(patches: Patches, rng: np.random.Generator) -> dict[str, Patches]:
        return {"one": random_view(patches, rng), "other": random_view(patches, rng)}

    return _train(learner, dataset, hparams, reporter, seed, views)


def masked_train_fn(
    model: Callable[..., Any], dataset: Any, hparams: Mapping[str, Any], reporter: Reporter, seed: int
) -> dict[str, float]:
    """Pre-train by masked autoencoding.

    Parameters
    ----------
    model : callable
        Builds :func:`~deepcube.oblivious.keras_networks.restoring` or the like: patches to patches, with a layer named
        ``encoder``.
    dataset : numpy.ndarray of float32, shape (rows, height, width, channels)
        Patches.
    hparams, reporter, seed
        As of :func:`deepcube.oblivious.selfsupervised.masked_train_fn`, whose result this has, too.
    """
    learner = Learner(model(), lambda x, restored: masked_loss(x["patches"], restored, x["mask"]))

    def masks(patches: Patches, rng: np.random.Generator) -> dict[str, Patches]:
        mask = block_mask(patches, hparams["block"], hparams["share"], rng)
        return {"seen": patches * (1 - mask), "patches": patches, "mask": mask}

    return _train(learner, dataset, hparams, reporter, seed, masks)


def _train(learner: Learner, dataset: Any, hparams: Any, reporter: Any, seed: int, views: Any) -> dict[str, float]:
    patches, size = np.asarray(dataset, np.float32), hparams["batch_size"]
    if len(patches) < size:
        raise ExperimentConfigError(f"Found {len(patches)} patches for batches of {size}; expected one batch at least.")
    check_even(size)
    compile_for(learner, hparams["learning_rate"])
    rng = np.random.default_rng(seed)
    order = batches_of(len(patches), size, rng)
    loss = float("nan")
    for epoch in range(hparams["epochs"]):
        rows = np.concatenate([next(order) for _ in range(len(patches) // size)])
        loss = learner.fit_epoch(views(patches[rows], rng), size)
        reporter.broadcast(loss, epoch)
    if reporter.rank == 0:
        learner.network.get_layer("encoder").save_weights(reporter.directory / WEIGHTS_FILE)
    return {"loss": loss}


def compile_for(learner: Any, learning_rate: float) -> None:
    """Give a learner its optimizer; without XLA, whose sums differ with the size of a batch."""
    learner.compile(optimizer=keras.optimizers.Adam(learning_rate), jit_compile=keras.backend.backend() == "jax")


def check_even(*sizes: int) -> None:
    """Check that every rank gets as many rows of each batch, which the negatives and the means need.

    Raises
    ------
    ExperimentConfigError
        If a batch cannot be divided evenly among the ranks or devices.
    """
    distribution = keras.distribution.distribution()
    devices = distribution.device_mesh.shape[0] if distribution is not None else 1
    ranks = _strategy().num_replicas_in_sync if keras.backend.backend() == "tensorflow" else devices
    for size in sizes:
        if size % ranks:
            raise ExperimentConfigError(
                f"Found batches of {size} for {ranks} ranks; expected a multiple of the number of ranks."
            )


def _strategy() -> Any:
    import tensorflow as tf

    return tf.distribute.get_strategy()


def _rank() -> tuple[Any, int]:
    """Return this rank and how many there are; on JAX one computation spans all devices."""
    if keras.backend.backend() != "tensorflow":
        return 0, 1
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return (0, 1) if context is None else (context.replica_id_in_sync_group, context.num_replicas_in_sync)


def _gathered(rows: Any) -> Any:
    """Return the rows of all ranks; gradients flow back to the rank they came from."""
    if _rank()[1] == 1:
        return rows
    import tensorflow as tf

    return tf.distribute.get_replica_context().all_gather(rows, axis=0)
