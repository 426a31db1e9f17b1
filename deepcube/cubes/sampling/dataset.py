"""Patches of a cube as rows that can be asked for by number: the dataset of a training function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepcube.cubes.model import Cube
from deepcube.cubes.opening import Source, open_cube
from deepcube.cubes.sampling.reading import Sampler

Prepare = Callable[[NDArray[Any]], Any]
"""Makes a row, an array or a tuple of arrays, of a patch of shape (variable, time, y, x)."""


def as_is(patch: NDArray[Any]) -> NDArray[Any]:
    """Return a patch as it is."""
    return patch


class PatchDataset:
    """Rows of a training that are patches of a cube, read when they are needed.

    A training function uses it like a table in memory: ``torch.utils.data.DataLoader(dataset, batch_size)`` asks for
    the rows of a batch together, and ``numpy.asarray(dataset)`` reads all, each chunk once. It travels to workers as a
    path, so each opens the cube itself, and a rank reads its own rows only.

    Parameters
    ----------
    source : path or sequence of paths
        What :func:`deepcube.cubes.open_cube` opens.
    variables : sequence of str
        Variables of one grid.
    size : tuple of int
        Shape of a patch along time, y and x.
    starts : array-like of int, shape (n, 3)
        First index of every patch; those of one part of a :class:`~deepcube.cubes.sampling.Partition`.
    prepare : callable
        Makes a row of a patch, for example inputs and target, normalised by numbers of the training part. It must be
        importable, or it cannot travel.
    opening : mapping of str to Any
        Further arguments of :func:`deepcube.cubes.open_cube`.

    Raises
    ------
    PlanError
        If patches do not fit the cube, or variables lie on different grids.
    UnknownVariableError
        If the cube lacks a variable.

    Notes
    -----
    Random batches decode a chunk again whenever a patch of it is asked for. Where decoding takes longer than training,
    use a :class:`Sampler`, which orders patches by chunks.
    """

    def __init__(
        self,
        source: Source,
        variables: Sequence[str],
        size: tuple[int, int, int],
        starts: ArrayLike,
        *,
        prepare: Prepare = as_is,
        opening: Mapping[str, Any] | None = None,
    ) -> None:
        self.source, self.variables, self.size, self.prepare = source, tuple(variables), size, prepare
        self.opening = dict(opening or {})
        self.starts = np.asarray(starts)
        self._sampler(self.starts)  # says at once what does not fit

    @cached_property
    def _cube(self) -> Cube:
        return open_cube(self.source, **self.opening)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_cube"}

    def _sampler(self, starts: NDArray[Any]) -> Sampler:
        return Sampler(self._cube, self.variables, self.size, starts, shuffle=False, limit=np.inf)

    def _rows(self, starts: NDArray[Any]) -> Iterator[tuple[int, Any]]:
        for number, patch in self._sampler(starts).patches():
            yield number, self.prepare(patch)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, number: int) -> Any:
        """Return one row."""
        return self.__getitems__([number])[0]

    def __getitems__(self, numbers: Sequence[int]) -> list[Any]:
        """Return the rows of a batch, in the order asked for; each chunk is decoded once for all of them."""
        if not len(numbers):
            return []
        rows = dict(self._rows(self.starts[np.asarray(numbers)]))
        return [rows[position] for position in range(len(numbers))]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all rows, shape (n, ...), where a row is one array."""
        rows: NDArray[Any] | None = None
        for number, row in self._rows(self.starts):
            if rows is None:
                rows = np.empty((len(self), *np.shape(row)), dtype or np.asarray(row).dtype)
            rows[number] = row
        if rows is None:
            raise AssertionError("unreachable: no starts are refused")
        return rows
