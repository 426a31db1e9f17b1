"""Small trainings, one per kind of learning and framework, for the table of modes; importable by worker processes.

They know nothing of how they are run. Their data is drawn from a generator: simulated, and labelled so in the table.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

FEATURES = 8
"""Inputs of the supervised lessons, named ``x0`` to ``x7``."""

LEARNING = (
    "supervised",
    "self-supervised, contrastive",
    "self-supervised, masked",
    "semi-supervised, pseudo-labels",
    "semi-supervised, mean teacher",
)
"""The kinds of learning."""


def rows(count: int, seed: int) -> tuple[Any, Any]:
    """Return inputs and targets, float32, shapes (count, 8) and (count, 1)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, FEATURES)).astype("float32")
    return x, (x[:, :3].sum(1, keepdims=True) + 0.1 * rng.normal(size=(count, 1))).astype("float32")


def without_feature(dataset: Any, feature: str) -> Any:
    """Return a supervised dataset in which one input is its mean over the training rows."""
    column = int(feature[1:])
    mean = dataset[0][0][:, column].mean()

    def hold(x: Any) -> Any:
        held = x.copy()
        held[:, column] = mean
        return held

    return tuple((hold(x), y) for x, y in dataset)


def supervised_data() -> Any:
    """Return training and validation rows."""
    return rows(96, 1), rows(64, 2)


def keras_data() -> dict[str, Any]:
    """Return the dataset of every kind of learning: rows for the supervised one, patches for the others."""
    rng = np.random.default_rng(5)

    def labelled(count: int) -> Any:
        classes = np.arange(count) % 2
        noise = rng.normal(size=(count, 16, 16, 1))
        return (noise + 2.0 * classes[:, None, None, None]).astype("float32"), classes

    plain = rng.normal(size=(32, 16, 16, 1)).astype("float32")
    few = (labelled(16), labelled(32)[0], labelled(16))
    return _by_kind(supervised_data(), plain, plain, few, few)


def keras_model(kind: str = "supervised", units: int = 16) -> Any:
    """Return the network of one kind of learning."""
    import keras

    from deepcube.oblivious import keras_networks as networks

    if kind.endswith("contrastive"):
        return networks.contrastive()
    if kind != "supervised":
        return networks.restoring() if kind.endswith("masked") else networks.classifier()
    return keras.Sequential(
        [
            keras.Input((FEATURES,)),
            keras.layers.Dense(units, activation="relu", name="hidden_1"),
            keras.layers.Dense(units, activation="relu", name="hidden_2"),
            keras.layers.Dense(1, name="out"),
        ]
    )


def keras_supervised(model: Any, dataset: Any, hparams: dict[str, Any], reporter: Any) -> dict[str, float]:
    """Train a regression for two epochs and return its error on the validation rows."""
    import keras

    (x, y), (x_val, y_val) = dataset
    network = model(units=hparams.get("units", 16))
    network.compile(optimizer=keras.optimizers.Adam(1e-2), loss="mse", jit_compile=False)
    loss = float("nan")
    for epoch in range(2):
        network.fit(x, y, batch_size=32, epochs=1, verbose=0, shuffle=False)
        loss = float(network.evaluate(x_val, y_val, batch_size=32, verbose=0))
        reporter.broadcast(loss, epoch)
    return {"loss": loss}


def keras_lesson(model: Any, dataset: Any, hparams: dict[str, Any], reporter: Any, seed: int) -> dict[str, float]:
    """Learn in every way, one after the other; return the loss of each, and the supervised one as ``loss``."""
    import keras

    from deepcube.oblivious import keras_selfsupervised, keras_semisupervised

    learn = _by_kind(keras_supervised, *_unlabelled(keras_selfsupervised, keras_semisupervised))
    return _lessons(learn, model, dataset, reporter, seed, keras.utils.set_random_seed)


def torch_data() -> dict[str, Any]:
    """Return the dataset of every kind of learning: rows for the supervised one, patches for the others."""
    import torch

    generator = torch.Generator().manual_seed(5)

    def patches(count: int, classes: Any) -> Any:
        return torch.randn(count, 1, 16, 16, generator=generator) + 2.0 * classes[:, None, None, None]

    def labelled(count: int) -> Any:
        classes = torch.arange(count) % 2
        return torch.utils.data.TensorDataset(patches(count, classes), classes)

    plain = patches(32, torch.zeros(32))
    few = (labelled(16), patches(32, torch.arange(32) % 2), labelled(16))
    return _by_kind(supervised_data(), plain, plain, few, few)


def torch_model(kind: str = "supervised", units: int = 16) -> Any:
    """Return the network of one kind of learning."""
    import torch

    from deepcube.oblivious import networks

    if kind == "supervised":
        first, second, out = torch.nn.Linear(FEATURES, units), torch.nn.Linear(units, units), torch.nn.Linear(units, 1)
        return torch.nn.Sequential(first, torch.nn.ReLU(), second, torch.nn.ReLU(), out)
    if kind.endswith("contrastive"):
        return networks.Contrastive()
    return networks.Restoring() if kind.endswith("masked") else networks.Classifier()


def torch_supervised(model: Any, dataset: Any, hparams: dict[str, Any], reporter: Any) -> dict[str, float]:
    """Train a regression for two epochs and return its error on the validation rows; the last batch is uneven."""
    import torch

    train, held_out = (torch.utils.data.TensorDataset(*map(torch.from_numpy, part)) for part in dataset)
    network = model(units=hparams.get("units", 16))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    loader = torch.utils.data.DataLoader(train, batch_size=36, shuffle=True)
    loss = float("nan")
    for epoch in range(2):
        for x, y in loader:
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(network(x), y).backward()
            optimizer.step()
        with torch.no_grad():
            (loss,) = (
                torch.nn.functional.mse_loss(network(x), y).item()
                for x, y in torch.utils.data.DataLoader(held_out, batch_size=len(held_out))
            )
        reporter.broadcast(loss, epoch)
    return {"loss": loss}


class _Onward:
    """A reporter for several trainings in a row: the steps of each follow those of the one before."""

    def __init__(self, reporter: Any) -> None:
        self._reporter = reporter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reporter, name)

    def broadcast(self, metric: float, step: int) -> None:
        self._reporter.broadcast(metric)


def torch_lesson(model: Any, dataset: Any, hparams: dict[str, Any], reporter: Any, seed: int) -> dict[str, float]:
    """Learn in every way, one after the other; return the loss of each, and the supervised one as ``loss``."""
    import torch

    from deepcube.oblivious import selfsupervised, semisupervised

    learn = _by_kind(torch_supervised, *_unlabelled(selfsupervised, semisupervised))
    return _lessons(learn, model, dataset, reporter, seed, torch.manual_seed)


def _unlabelled(without: Any, few: Any) -> tuple[Any, ...]:
    """Return the training functions of a framework's two modules."""
    return (
        without.contrastive_train_fn,
        without.masked_train_fn,
        few.consistency_train_fn,
        few.mean_teacher_train_fn,
    )


def _by_kind(*values: Any) -> dict[str, Any]:
    return dict(zip(LEARNING, values, strict=True))


def _lessons(learn: Any, model: Any, dataset: Any, reporter: Any, seed: int, sow: Any) -> dict[str, float]:
    common = {"epochs": 2, "batch_size": 8, "learning_rate": 3e-3}
    few = {**common, "unlabelled_batch_size": 8, "weight": 0.5}
    options = _by_kind(
        {},
        {**common, "temperature": 0.5},
        {**common, "block": 4, "share": 0.5},
        {**few, "threshold": 0.6},
        {**few, "decay": 0.9},
    )
    losses = {}
    reporter = _Onward(reporter)
    for kind, train_fn in learn.items():
        sow(seed)
        arguments = {"model": partial(model, kind), "dataset": dataset[kind], "hparams": options[kind]}
        more = {} if kind == "supervised" else {"seed": seed}
        losses[kind] = train_fn(**arguments, reporter=reporter, **more)["loss"]
    return {"loss": losses["supervised"], **losses}
