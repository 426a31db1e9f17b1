"""Writing cubes as Zarr v3, one group per grid, block by block, so that an interrupted build resumes.

A cube is built in the folder ``NAME.building`` beside its place. That folder has no metadata at its root, so no Zarr
reader opens it; :func:`deepcube.cubes.open_cube` says what it is. A journal names the blocks whose chunks lie on the
disk. Finishing writes the root with consolidated metadata and renames the folder, which is one step of the file system.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import tensorstore as ts
import xarray as xr
from numpy.typing import NDArray

from deepcube.cubes.arrays import coding_of, context, create_array
from deepcube.cubes.durable import sync
from deepcube.cubes.errors import BuildError, UnknownVariableError
from deepcube.cubes.layout import Layout, block_step, blocks, chunk_shape, common_multiple, shard_shape
from deepcube.cubes.model import Grid
from deepcube.cubes.stored_form import attributes_of, encoded, plain, schema_of, stored_type

BUILDING = ".building"
"""Ending of the folder that holds a cube while it is built."""

FORMAT = 1
"""Version of the layout, in the attribute ``deepcube_cube`` of the root."""

Block = tuple[slice, ...]
"""Where values go: one slice for each dimension of the grid, in the order ``time, ..., y, x``."""

_log = logging.getLogger(__name__)


class CubeWriter:
    """Writes a cube block by block; every block that :meth:`write` returned from survives an interruption.

    Parameters
    ----------
    path : path
        Where the cube shall lie, such as ``firecube.zarr``.
    grids : sequence of Grid
        What it shall hold: coordinates, and variables with dimensions, type, attributes and encoding (``dtype``,
        ``_FillValue``, ``scale_factor``, ``add_offset``). Their values are not read, so that broadcast scalars do.
    attrs : mapping, optional
        Attributes of the whole cube; ``simulated=True`` for simulated ones.
    layout : {"patch", "map", "series"} or mapping of str to int
        How to cut chunks; see :func:`deepcube.cubes.layout.chunk_shape`.
    overwrite : bool
        Replace a cube that is there, when the new one is complete.
    block_bytes : int
        Size of the blocks that :meth:`pending` yields, all variables of the grid together.
    align : mapping of str to sequence of int, optional
        Shape by grid that blocks are to be multiples of, too, such as the chunks that values are read from.
    together : bool
        Whether all variables of a block come in one call; else each comes alone, in blocks of the same size.

    Raises
    ------
    BuildError
        If there is something at the path, or a build of another cube was interrupted there.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        grids: Sequence[Grid],
        *,
        attrs: Mapping[str, Any] | None = None,
        layout: Layout | Mapping[str, int] = "patch",
        overwrite: bool = False,
        block_bytes: int = 128 << 20,
        align: Mapping[str, Sequence[int]] | None = None,
        together: bool = True,
    ) -> None:
        self.path = Path(path)
        self.folder = self.path.with_name(self.path.name + BUILDING)
        self.grids = {grid.name: grid for grid in grids}
        self.attrs = dict(attrs or {})
        if len(self.grids) != len(grids) or not grids:
            raise BuildError(f"Found grids named {[grid.name for grid in grids]}; expected one or more distinct names.")
        if self.path.exists() and not overwrite:
            raise BuildError(f"{self.path} exists already; remove it, choose another path, or ask to overwrite it.")
        self._overwrite = overwrite
        self._block_bytes = block_bytes
        self._layout = layout
        self._align = dict(align or {})
        self._together = together
        self._context = context()
        self._plan()
        self._resume()
        self._arrays = {name: self._create(grid) for name, grid in self.grids.items()}

    def _plan(self) -> None:
        self._chunks: dict[str, dict[str, int]] = {}
        self._steps: dict[str, tuple[int, ...]] = {}
        for name, grid in self.grids.items():
            dims = grid_dims(grid)
            sizes = {dim: grid.dataset.sizes[dim] for dim in dims}
            widths = [stored_type(data).itemsize for data in grid.dataset.data_vars.values()]
            chunks = chunk_shape(sizes, dims, max(widths), self._layout)
            shards = shard_shape(list(sizes.values()), chunks, max(widths))
            self._chunks[name] = dict(zip(dims, chunks, strict=True))
            shape = list(sizes.values())
            unit = common_multiple(shards or chunks, self._align.get(name, shards or chunks), shape)
            width = sum(widths) if self._together else max(widths)
            self._steps[name] = block_step(shape, unit, width, self._block_bytes)
        described = [
            [name, self._chunks[name], self._steps[name], str(grid.crs), schema_of(grid)]
            for name, grid in self.grids.items()
        ]
        text = json.dumps([FORMAT, described, self.attrs], sort_keys=True, default=str)
        self._fingerprint = hashlib.sha256(text.encode()).hexdigest()

    def _resume(self) -> None:
        journal = self.folder / "journal.jsonl"
        self._done: set[str] = set()
        if self.folder.exists():
            lines = journal.read_text().splitlines() if journal.exists() else []
            head = json.loads(lines[0]) if lines else {}
            if head.get("fingerprint") != self._fingerprint:
                raise BuildError(
                    f"{self.folder} holds an interrupted build of another cube (other variables, axes, chunks or "
                    "attributes). Remove that folder to start over, or build the same cube to resume it."
                )
            for line in lines[1:]:
                try:
                    self._done.add(json.loads(line)["block"])
                except (ValueError, KeyError):
                    break  # the line that was being written when the build was interrupted
            _log.info("resuming %s: %d blocks are done", self.path, len(self._done))
        else:
            self.folder.mkdir(parents=True)
        lines = [
            json.dumps({"fingerprint": self._fingerprint}),
            *(json.dumps({"block": b}) for b in sorted(self._done)),
        ]
        write_atomically(journal, "\n".join(lines) + "\n")
        self._journal = journal.open("a")

    def _create(self, grid: Grid) -> dict[str, ts.TensorStore]:
        folder = self.folder / grid.name
        attrs = {"grid_mapping_name": "spatial_ref"} if grid.crs is not None else {}
        folder.mkdir(exist_ok=True)
        arrays: dict[str, ts.TensorStore] = {}
        for name, coordinate in grid.dataset.coords.items():
            if str(name) != "spatial_ref":
                self._coordinate(folder / str(name), coordinate)
        if grid.crs is not None:
            cf = {key: value for key, value in grid.crs.to_cf().items() if value is not None}
            create_array(folder / "spatial_ref", (), (), None, np.dtype("int64"), (), 0, cf, using=self._context)
        for name, data in grid.dataset.data_vars.items():
            coding, dtype = coding_of(data), stored_type(data)
            shape = data.shape
            chunks = tuple(self._chunks[grid.name][str(dim)] for dim in data.dims)
            fill = coding.fill if coding.fill is not None else None
            arrays[str(name)] = create_array(
                folder / str(name),
                shape,
                chunks,
                shard_shape(shape, chunks, dtype.itemsize) if len(data.dims) == len(grid_dims(grid)) else None,
                dtype,
                [str(dim) for dim in data.dims],
                fill,
                attributes_of(data, coding, grid),
                using=self._context,
            )
        write_atomically(
            folder / "zarr.json", json.dumps({"zarr_format": 3, "node_type": "group", "attributes": attrs})
        )
        return arrays

    def _coordinate(self, path: Path, coordinate: xr.DataArray) -> None:
        values, dims, attrs = encoded(coordinate)
        array = create_array(
            path, values.shape, values.shape, None, values.dtype, dims, None, attrs, using=self._context
        )
        array.write(values).result()

    @property
    def progress(self) -> tuple[int, int]:
        """Parts (blocks of single variables) that are done, and all."""
        return len(self._done), sum(1 for name in self.grids for _ in self._parts(name))

    def _blocks(self, grid: str) -> Iterator[Block]:
        sizes = [self.grids[grid].dataset.sizes[dim] for dim in grid_dims(self.grids[grid])]
        return blocks(sizes, self._steps[grid])

    def _parts(self, grid: str) -> Iterator[tuple[str, Block]]:
        names = [str(name) for name in self.grids[grid].dataset.data_vars]
        for block in self._blocks(grid):
            for name in names:
                if self.block_of(grid, name, block) is not None:
                    yield name, block

    def pending(self, grid: str, variable: str | None = None) -> Iterator[Block]:
        """Yield the blocks of a grid, or of one of its variables, that are not yet written.

        Blocks respect chunks and shards, so that each is written by one call and no chunk twice. A variable that lacks
        a dimension, such as a static one, belongs to the blocks that start at 0 along it.
        """
        last = None
        for name, block in self._parts(grid):
            if variable not in (None, name) or block == last or _key(grid, name, block) in self._done:
                continue
            last = block
            yield block

    def block_of(self, grid: str, variable: str, block: Block) -> Block | None:
        """Return the part of a block that one variable has; None if the variable is not written with that block."""
        dims = grid_dims(self.grids[grid])
        held = self.grids[grid].dataset[variable].dims
        if any(part.start != 0 for dim, part in zip(dims, block, strict=True) if dim not in held):
            return None
        return tuple(block[dims.index(str(dim))] for dim in held)

    def write(self, grid: str, block: Block, values: Mapping[str, NDArray[Any]], *, stored: bool = False) -> None:
        """Write one block of a grid, all its variables at once.

        Parameters
        ----------
        grid : str
            Name of the grid.
        block : tuple of slice
            One that :meth:`pending` yielded.
        values : mapping of str to numpy.ndarray
            Physical values by variable, of the shape that :meth:`block_of` says; gaps are NaN.
        stored : bool
            True if the values are in the stored form already.

        Raises
        ------
        UnknownVariableError
            If a variable of the block is missing, or one is there that does not belong to it.
        BuildError
            If values have another shape than the block, or cannot be written (the disk is full).
        """
        dataset = self.grids[grid].dataset
        places = {str(name): self.block_of(grid, str(name), block) for name in dataset.data_vars}
        expected = {name for name, place in places.items() if place is not None}
        if not set(values) <= expected or (self._together and set(values) != expected):
            raise UnknownVariableError(
                f"{_key(grid, 'block', block)} got {sorted(values)}; expected {sorted(expected)}, each once."
            )
        futures = []
        for name, data in values.items():
            place = places[name]
            assert place is not None
            shape = tuple(part.stop - part.start for part in place)
            if np.shape(data) != shape:
                raise BuildError(f"{_key(grid, name, block)} has shape {np.shape(data)}; expected {shape}.")
            source = dataset[name]
            coded = np.asarray(data) if stored else coding_of(source).encode(data, stored_type(source))
            futures.append((name, self._arrays[grid][name][place].write(coded)))
        for name, future in futures:
            try:
                future.result()
            except (ValueError, OSError) as error:
                raise BuildError(
                    f"{self.folder}: {name} could not be written ({error}). Free space or mend the disk, then build "
                    "again: what is written already is kept."
                ) from error
        self._log([_key(grid, name, block) for name in values])

    def _log(self, keys: list[str]) -> None:
        try:
            self._journal.write("".join(json.dumps({"block": key}) + "\n" for key in keys))
            self._journal.flush()
            os.fsync(self._journal.fileno())
        except OSError as error:
            raise BuildError(
                f"{self.folder}: the journal could not be written ({error}). Free space, then build again."
            ) from error
        self._done.update(keys)

    def finish(self) -> Path:
        """Make the cube visible under its path, in one step.

        Raises
        ------
        BuildError
            If blocks are missing.
        """
        done, all_blocks = self.progress
        if done < all_blocks:
            raise BuildError(f"{self.folder} has {done} of {all_blocks} parts; write the rest before finishing.")
        self._journal.close()
        attributes = {"Conventions": "CF-1.11", **self.attrs, "deepcube_cube": FORMAT, "name": self.path.stem}
        root: dict[str, Any] = {"zarr_format": 3, "node_type": "group", "attributes": plain(attributes)}
        members = {}
        for file in sorted(self.folder.rglob("zarr.json")):
            if file.parent != self.folder:
                members[file.parent.relative_to(self.folder).as_posix()] = json.loads(file.read_text())
        root["consolidated_metadata"] = {"kind": "inline", "must_understand": False, "metadata": members}
        write_atomically(self.folder / "zarr.json", json.dumps(root, allow_nan=True))
        (self.folder / "journal.jsonl").unlink()
        aside = self.path.with_name(self.path.name + ".replaced")
        if self.path.exists() and self._overwrite:
            self.path.rename(aside)
        self.folder.replace(self.path)
        sync(self.path.parent)
        shutil.rmtree(aside, ignore_errors=True)
        return self.path

    def close(self) -> None:
        """Close the journal; the build can be resumed."""
        self._journal.close()

    def __enter__(self) -> CubeWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and not self._journal.closed:
            self.finish()
        self.close()


def grid_dims(grid: Grid) -> tuple[str, ...]:
    """Return the dimensions of a grid in the order of its fullest variable, with every dimension that any has."""
    dims = [str(dim) for dim in grid.dataset.sizes if any(dim in v.dims for v in grid.dataset.data_vars.values())]
    order = {"time": 0, "y": 2, "x": 3, "point": 3}
    return tuple(sorted(dims, key=lambda dim: order.get(dim, 1)))


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that it is there whole or not at all.

    Raises
    ------
    BuildError
        If the disk refuses it.
    """
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise BuildError(
            f"{path} could not be written ({error}). Free space or mend the disk, then try again."
        ) from error


def _key(grid: str, variable: str, block: Block) -> str:
    return f"{grid}/{variable}:{','.join(f'{part.start}-{part.stop}' for part in block)}"
