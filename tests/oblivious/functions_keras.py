"""A Keras model and its oblivious training function, the same on TensorFlow and on JAX, importable by workers."""

import os
import signal

import numpy as np


def build(units=16):
    import keras

    return keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(units, activation="relu", name="hidden_1"),
            keras.layers.Dense(units, activation="relu", name="hidden_2"),
            keras.layers.Dense(1, name="out"),
        ]
    )


def make_data(rows, seed=1):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 8)).astype("float32")
    return x, (x[:, :3].sum(1, keepdims=True) + 0.1 * rng.normal(size=(rows, 1))).astype("float32")


def train_fn(model, dataset, hparams, reporter):
    import keras

    (x, y), (x_val, y_val) = dataset
    network = model(units=hparams.get("units", 16))
    network.compile(optimizer=keras.optimizers.Adam(1e-2), loss="mse", jit_compile=False)
    value = float("nan")
    for epoch in range(hparams.get("epochs", 2)):
        network.fit(x, y, batch_size=hparams.get("batch_size", 32), epochs=1, verbose=0, shuffle=False)
        value = float(network.evaluate(x_val, y_val, batch_size=32, verbose=0))
        reporter.broadcast(value, epoch)
    return {"loss": value}


def keeps(model, dataset, hparams, reporter):
    """Train as above, keeping the state of every epoch; rank 1 dies once, in the second."""
    import keras

    (x, y), (x_val, y_val) = dataset
    network = model(units=16)
    network.compile(optimizer=keras.optimizers.Adam(1e-2), loss="mse", jit_compile=False)
    begin = reporter.restore(network=network)
    value = float("nan")
    for epoch in range(begin, hparams["epochs"]):
        network.fit(x, y, batch_size=32, epochs=1, verbose=0, shuffle=False)
        value = float(network.evaluate(x_val, y_val, batch_size=32, verbose=0))
        reporter.broadcast(value, epoch)
        reporter.save(epoch, network=network)
        flag = reporter.directory / "had trouble"
        if hparams.get("dies") and epoch == 1 and reporter.rank == 1 and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return {"loss": value, "began": begin}
