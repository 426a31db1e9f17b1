"""Learning from few labelled and many unlabelled patches in Keras 3: pseudo-label consistency, and the mean teacher.

What :mod:`deepcube.oblivious.semisupervised` is for torch. The dataset is ``(labelled, unlabelled, validation)``:
labelled and validation rows are pairs of arrays of patches, shape (rows, height, width, channels), and of classes,
shape (rows,); the unlabelled ones patches alone. Importing this module imports Keras and its backend.
"""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from deepcube.oblivious.errors import ExperimentConfigError
from deepcube.oblivious.keras_selfsupervised import NOISE, Learner, batches_of, check_even, compile_for, random_view
from deepcube.oblivious.reporter import Reporter

_STRONG_NOISE = 0.3


def pseudo_label_loss(weak: Any, strong: Any, threshold: float) -> Any:
    """Return the consistency loss of FixMatch (Sohn et al., 2020, arXiv 2001.07685, eq. 4).

    Parameters
    ----------
    weak, strong : tensor, shape (rows, classes)
        Logits of a weakly and a strongly changed view of the same patches.
    threshold : float
        Only rows whose most probable class has at least this probability count.

    Returns
    -------
    tensor, shape ()
        Cross-entropy of the strong view with the class of the weak one, summed over the rows that count, divided by
        all.
    """
    sure = keras.ops.softmax(keras.ops.stop_gradient(weak))
    each = keras.losses.sparse_categorical_crossentropy(keras.ops.argmax(sure, -1), strong, from_logits=True)
    counts = keras.ops.cast(keras.ops.max(sure, -1) >= threshold, each.dtype)
    return keras.ops.mean(each * counts)


def teacher_loss(student: Any, teacher: Any) -> Any:
    """Return the mean squared difference of class probabilities (Tarvainen and Valpola, 2017, arXiv 1703.01780).

    Parameters
    ----------
    student, teacher : tensor, shape (rows, classes)
        Logits; no gradient flows to the teacher.
    """
    target = keras.ops.stop_gradient(keras.ops.softmax(teacher))
    return keras.ops.mean(keras.ops.square(keras.ops.softmax(student) - target))


def follow(teacher: Any, student: Any, decay: float) -> None:
    """Move a teacher's weights towards the student's: ``decay * teacher + (1 - decay) * student``."""
    for kept, new in zip(teacher.weights, student.weights, strict=True):
        kept.assign(decay * kept + (1 - decay) * new)


class Agreeing(Learner):
    """A classifier that learns from rows with a class and, by a loss of their own, from two views of rows without."""

    def __init__(self, network: Any, teacher: Any, weight: float, unlabelled_loss: Callable[[Any, Any], Any]) -> None:
        super().__init__(network, self._loss)
        self.teacher, self.weight, self._unlabelled_loss = teacher, weight, unlabelled_loss
        if teacher is not None:
            teacher.trainable = False

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return logits of the labelled rows, and of both views of the others."""
        one, other = (keras.ops.reshape(inputs[name], (-1, *inputs[name].shape[2:])) for name in ("one", "other"))
        guide = self.network if self.teacher is None else self.teacher
        known = self.network(inputs["labelled"], training=training)
        return known, guide(one, training=training), self.network(other, training=training)

    def _loss(self, x: Any, y_pred: Any) -> Any:
        known, one, other = y_pred
        supervised = keras.losses.sparse_categorical_crossentropy(x["classes"], known, from_logits=True)
        return keras.ops.mean(supervised) + self.weight * self._unlabelled_loss(one, other)


class _Follow(keras.callbacks.Callback):
    """Lets the teacher follow after every step."""

    def __init__(self, decay: float) -> None:
        super().__init__()
        self._decay = decay

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        follow(self.model.teacher, self.model.network, self._decay)


def consistency_train_fn(
    model: Callable[..., Any], dataset: Any, hparams: Mapping[str, Any], reporter: Reporter, seed: int
) -> dict[str, float]:
    """Train a classifier by pseudo-label consistency.

    Parameters
    ----------
    model : callable
        Builds a classifier: patches to logits, for example :func:`~deepcube.oblivious.keras_networks.classifier`.
    dataset : tuple
        ``(labelled, unlabelled, validation)``.
    hparams, reporter, seed
        As of :func:`deepcube.oblivious.semisupervised.consistency_train_fn`, whose result this has, too; here
        ``unlabelled_batch_size`` is a multiple of ``batch_size``.
    """

    def loss(weak: Any, strong: Any) -> Any:
        return pseudo_label_loss(weak, strong, hparams["threshold"])

    return _train(Agreeing(model(), None, hparams["weight"], loss), dataset, hparams, reporter, seed, _STRONG_NOISE, [])


def mean_teacher_train_fn(
    model: Callable[..., Any], dataset: Any, hparams: Mapping[str, Any], reporter: Reporter, seed: int
) -> dict[str, float]:
    """Train a classifier that agrees with the moving average of itself.

    Parameters
    ----------
    model, dataset, reporter, seed
        As of :func:`consistency_train_fn`.
    hparams : mapping
        As of :func:`deepcube.oblivious.semisupervised.mean_teacher_train_fn`.
    """
    learner = Agreeing(model(), model(), hparams["weight"], lambda teacher, student: teacher_loss(student, teacher))
    follow(learner.teacher, learner.network, 0.0)
    return _train(learner, dataset, hparams, reporter, seed, NOISE, [_Follow(hparams["decay"])])


def _train(
    learner: Agreeing, dataset: Any, hparams: Any, reporter: Any, seed: int, noise: float, callbacks: list[Any]
) -> dict[str, float]:
    (known, classes), unknown, (held_out, held_classes) = dataset
    size, unknown_size = hparams["batch_size"], hparams["unlabelled_batch_size"]
    if unknown_size % size:
        raise ExperimentConfigError(
            f"Found unlabelled_batch_size={unknown_size} and batch_size={size}; expected a multiple of it, so that "
            "Keras can hand out both together."
        )
    if len(known) < size or len(unknown) < unknown_size:
        raise ExperimentConfigError(
            f"Found {len(known)} labelled and {len(unknown)} unlabelled rows; expected a batch of each at least."
        )
    check_even(size)
    compile_for(learner, hparams["learning_rate"])
    learner.network.compile(loss=keras.losses.SparseCategoricalCrossentropy(True), metrics=["accuracy"])
    rng = np.random.default_rng(seed)
    orders = batches_of(len(known), size, rng), batches_of(len(unknown), unknown_size, rng)
    accuracy = loss = float("nan")
    for epoch in range(hparams["epochs"]):
        steps = range(len(unknown) // unknown_size)
        rows, others = (np.concatenate([next(order) for _ in steps]) for order in orders)
        one, other = random_view(unknown[others], rng), random_view(unknown[others], rng, noise)
        inputs = {
            "labelled": random_view(known[rows], rng),
            "classes": classes[rows].astype(np.int32),
            "one": one.reshape(len(rows), -1, *one.shape[1:]),
            "other": other.reshape(len(rows), -1, *other.shape[1:]),
        }
        loss = learner.fit_epoch(inputs, size, callbacks)
        found = learner.network.evaluate(held_out, held_classes, batch_size=256, verbose=0, return_dict=True)
        accuracy = float(found["accuracy"])
        reporter.broadcast(accuracy, epoch)
    return {"accuracy": accuracy, "loss": loss}
