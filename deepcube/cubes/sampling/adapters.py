"""Batches of a sampler for TensorFlow and PyTorch; both are imported only when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from deepcube.cubes.sampling.reading import Sampler
from deepcube.cubes.sampling.several import GridsSampler


def tf_dataset(sampler: Sampler | GridsSampler, batch: int, epochs: int = 1, *, drop_last: bool = False) -> Any:
    """Return a ``tf.data.Dataset`` of batches, read while the model trains.

    Parameters
    ----------
    sampler : Sampler or GridsSampler
        What to read.
    batch : int
        Patches in a batch.
    epochs : int
        Times that every patch comes, each time in another order.
    drop_last : bool
        Leave out last batches that are smaller.

    Returns
    -------
    tf.data.Dataset
        Elements ``(index, values)``: int64 of shape (n,) and floats of shape (n, variable, time, y, x), or a dict of
        such by grid.
    """
    import tensorflow as tf

    def generate() -> Iterator[tuple[Any, Any]]:
        for epoch in range(epochs):
            for part in sampler.batches(batch, epoch, drop_last=drop_last):
                yield part.index, part.values

    kind = tf.as_dtype(sampler.dtype)
    if isinstance(sampler, GridsSampler):
        names = sampler.variables
        values: Any = {n: tf.TensorSpec((None, len(names[n]), *size), kind) for n, size in sampler.sizes.items()}
    else:
        values = tf.TensorSpec((None, len(sampler.variables), *sampler.size), kind)
    signature = (tf.TensorSpec((None,), tf.int64), values)
    return tf.data.Dataset.from_generator(generate, output_signature=signature).prefetch(1)


def torch_dataset(sampler: Sampler | GridsSampler, batch: int, epoch: int = 0, *, drop_last: bool = False) -> Any:
    """Return a ``torch.utils.data.IterableDataset`` of batches; use it with ``DataLoader(..., batch_size=None)``.

    Workers of a DataLoader share the batches among them: worker *i* of *n* yields every *n*-th one. As each then reads
    what the others read, too, threads of one process are the faster choice (``num_workers=0``).

    Parameters
    ----------
    sampler : Sampler or GridsSampler
        What to read.
    batch : int
        Patches in a batch.
    epoch : int
        Number of the epoch, which the order follows from.
    drop_last : bool
        Leave out a last batch that is smaller.

    Returns
    -------
    torch.utils.data.IterableDataset
        Elements ``(index, values)`` as tensors; values are a dict by grid for several grids.
    """
    import torch
    from torch.utils.data import IterableDataset, get_worker_info

    class Patches(IterableDataset):
        """Batches of one epoch as tensors."""

        def __iter__(self) -> Iterator[tuple[Any, Any]]:
            worker = get_worker_info()
            step, first = (worker.num_workers, worker.id) if worker is not None else (1, 0)
            parts: Iterator[Any] = sampler.batches(batch, epoch, drop_last=drop_last)
            for number, part in enumerate(parts):
                if number % step == first:
                    yield torch.from_numpy(part.index), _each(part.values, torch.from_numpy)

    return Patches()


def _each(values: Any, change: Callable[[Any], Any]) -> Any:
    return {name: change(held) for name, held in values.items()} if isinstance(values, dict) else change(values)
