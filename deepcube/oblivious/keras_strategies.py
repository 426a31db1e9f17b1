"""Keras over several workers of TensorFlow, and over several devices of JAX, around an unchanged training function."""

import functools
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from deepcube.oblivious.checkpoints import Checkpoints
from deepcube.oblivious.strategies import Address, Strategy, peak_memory


class Mirrored(Strategy):
    """A copy of the model in every worker (``tf.distribute.MultiWorkerMirroredStrategy``), for Keras 3.

    TensorFlow itself divides each global batch among the workers.
    """

    name = "mirrored"
    framework = "tensorflow"

    def environment(self, ranks: int) -> dict[str, str]:
        """Keras on TensorFlow."""
        return {"KERAS_BACKEND": "tensorflow"}

    def join(self, rank: int, addresses: Sequence[Address]) -> None:
        """Start the cluster, and open the strategy's scope."""
        self.rank = rank
        workers = [f"{host}:{port}" for host, port in addresses]
        os.environ["TF_CONFIG"] = json.dumps(
            {"cluster": {"worker": workers}, "task": {"type": "worker", "index": rank}}
        )
        import tensorflow as tf

        from deepcube.oblivious.keras_mirrored import patch_trainer

        threads = int(os.environ.get("TF_NUM_INTRAOP_THREADS", "1"))
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(max(threads, 2))  # one waits for the other workers
        patch_trainer()
        self._stack = ExitStack()
        self._stack.enter_context(tf.distribute.MultiWorkerMirroredStrategy().scope())

    def leave(self) -> None:
        """Close the scope."""
        self._stack.close()

    def seed(self, seed: int) -> None:
        """Seed Keras, so that all workers start with the same weights and draw the same order."""
        import keras

        keras.utils.set_random_seed(seed)

    def wrap(self, parts: Mapping[str, Any], seed: int) -> Mapping[str, Any]:
        """Leave the parts alone; a batch size per rank is multiplied where ``fit`` is called."""
        if self.per_rank_batches:
            _multiply_batches(self.ranks)
        return parts

    def checkpoints(self, folder: Path) -> Checkpoints:
        """Return checkpoints that all workers save together."""
        return MirroredCheckpoints(folder, self.rank)

    def stats(self) -> dict[str, float]:
        """Return this rank's peak memory (MiB)."""
        return {"peak_mib": peak_memory()}


class MirroredCheckpoints(Checkpoints):
    """All workers read the state of a model at the same time: some variables of metrics are sums over the workers."""

    def gather(self, name: str, each: Any) -> Any:
        """Read a model's state with rank 0, which keeps it; what the others read is thrown away."""
        if self.rank > 0 and hasattr(each, "save_weights"):
            with tempfile.TemporaryDirectory() as scratch:
                each.save_weights(Path(scratch) / "model.weights.h5")
        return super().gather(name, each)

    def barrier(self) -> None:
        """Wait for the other workers: a sum over all of them is there when the last one has come."""
        import tensorflow as tf

        def meet() -> Any:
            return tf.distribute.get_replica_context().all_reduce("SUM", tf.ones(()))

        tf.distribute.get_strategy().run(meet)


class JaxStrategy(Strategy):
    """What the strategies of ``keras.distribution`` share: one process with several devices."""

    framework = "jax"

    def processes(self, ranks: int) -> int:
        """One process holds all devices."""
        return 1

    def environment(self, ranks: int) -> dict[str, str]:
        """Keras on JAX, with so many virtual devices where there are no real ones."""
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={ranks}".strip()
        return {"KERAS_BACKEND": "jax", "XLA_FLAGS": flags}

    def seed(self, seed: int) -> None:
        """Seed Keras."""
        import keras

        keras.utils.set_random_seed(seed)

    def wrap(self, parts: Mapping[str, Any], seed: int) -> Mapping[str, Any]:
        """Set the distribution of everything that Keras makes from now on."""
        import keras

        if self.per_rank_batches:
            _multiply_batches(self.ranks)
        keras.distribution.set_distribution(self.distribution(keras.distribution.list_devices()))
        return parts

    def distribution(self, devices: Sequence[str]) -> Any:
        """Return the distribution over the devices."""
        raise NotImplementedError

    def stats(self) -> dict[str, float]:
        """Return the number of devices, and this process's peak memory (MiB)."""
        import keras

        return {"devices": float(len(keras.distribution.list_devices())), "peak_mib": peak_memory()}


class JaxData(JaxStrategy):
    """Each device computes a part of every batch."""

    name = "jax-data"

    def distribution(self, devices: Sequence[str]) -> Any:
        """Return ``keras.distribution.DataParallel``."""
        import keras

        return keras.distribution.DataParallel(devices=list(devices), auto_shard_dataset=False)


_LAYOUT: dict[str, tuple[str | None, ...]] = {
    ".*hidden.*kernel": (None, "model"),
    ".*hidden.*bias": ("model",),
    ".*filters.*kernel": (None, None, None, "model"),
    ".*filters.*bias": ("model",),
}


class JaxModel(JaxStrategy):
    """Each device keeps a part of the model's parameters.

    Parameters
    ----------
    layout : mapping of str to tuple, optional
        For variables whose path matches the regular expression, the name ``"model"`` at the axis to divide and None at
        the others. By default, kernels and biases are divided by units in layers whose name begins with ``hidden``, and
        by filters in convolutions of images whose name begins with ``filters``.
    """

    name = "jax-model"

    def __init__(self, layout: Mapping[str, tuple[str | None, ...]] | None = None) -> None:
        super().__init__()
        self.layout = dict(layout or _LAYOUT)

    def distribution(self, devices: Sequence[str]) -> Any:
        """Return ``keras.distribution.ModelParallel``."""
        import keras

        mesh = keras.distribution.DeviceMesh((1, len(devices)), ["batch", "model"], list(devices))
        layout = keras.distribution.LayoutMap(mesh)
        for pattern, axes in self.layout.items():
            layout[pattern] = axes
        return keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch", auto_shard_dataset=False)


def _multiply_batches(ranks: int) -> None:
    """Let ``fit`` count the batch size per rank."""
    import keras

    fit = keras.Model.fit

    @functools.wraps(fit)
    def fit_per_rank(model: Any, x: Any = None, y: Any = None, batch_size: int | None = None, **options: Any) -> Any:
        return fit(model, x, y, (batch_size or 32) * ranks, **options)

    keras.Model.fit = fit_per_rank
