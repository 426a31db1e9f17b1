"""A cube with its mapping, ready to be asked: its grids, and which array each property is read from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyoxigraph as ox

from deepcube.semantics import vocabulary as v
from deepcube.semantics.arrays import Array, open_array
from deepcube.semantics.errors import MappingError, did_you_mean
from deepcube.semantics.grids import GridAxes
from deepcube.semantics.mapping import CubeMapping, Interpretation, default_mapping, read_mapping
from deepcube.semantics.statistics import ChunkStatistics, read_statistics
from deepcube.semantics.terms import DOUBLE, INTEGER, IriKind, Kind


@dataclass(eq=False)
class Variable:
    """A mapped variable of a cube.

    Attributes
    ----------
    name, property, label, unit : str
        Name in the grid, IRI of the observed property, text for people, unit.
    grid : GridAxes
        Where it lies.
    opener : callable
        Opens what reads it.
    static : bool
        Whether it does not vary in time.
    integer : bool
        Whether results are ``xsd:integer`` rather than ``xsd:double``.
    observations : IriKind
        Terms of its observations.
    interpretations : tuple of Interpretation
        Categories of its values.
    source : str
        Path of the cube.
    """

    name: str
    property: str
    label: str
    unit: str
    grid: GridAxes
    opener: Callable[[], Array]
    static: bool
    integer: bool
    observations: IriKind
    interpretations: tuple[Interpretation, ...]
    source: str

    @cached_property
    def array(self) -> Array:
        """What reads it, opened when it is first asked for: a query reads few of the variables of a cube."""
        return self.opener()

    @cached_property
    def result_kind(self) -> Kind:
        """Kind of the values."""
        return INTEGER if self.integer else DOUBLE

    @cached_property
    def statistics(self) -> ChunkStatistics | None:
        """Least and greatest value of every chunk, if they were computed and the cube has not changed since."""
        return read_statistics(self.source, self.grid.name, self.name, self.array)


class CubeSource:
    """A cube that can be asked.

    Parameters
    ----------
    path : path
        Anything that :func:`deepcube.cubes.open_cube` opens.
    mapping : path or CubeMapping, optional
        The mapping; by default ``<path>.mapping.ttl`` beside the cube if there is one, else every variable under its
        own name.

    Raises
    ------
    MappingError
        If the mapping does not fit the cube.
    """

    def __init__(
        self, path: str | os.PathLike[str], mapping: str | os.PathLike[str] | CubeMapping | None = None
    ) -> None:
        from deepcube.cubes import open_cube

        self.path = str(path)
        cube = open_cube(self.path)
        beside = Path(self.path.rstrip("/") + ".mapping.ttl")
        if mapping is None and beside.exists():
            mapping = beside
        if mapping is None:
            self.mapping = default_mapping(cube.name, cube.variables)
        elif isinstance(mapping, CubeMapping):
            self.mapping = mapping
        else:
            self.mapping = read_mapping(Path(mapping), cube.name)
        self.simulated = cube.simulated
        self.grids: dict[str, GridAxes] = {}
        self.variables: dict[str, Variable] = {}
        for item in self.mapping.variables:
            self._add(cube, item)

    def _add(self, cube: Any, item: Any) -> None:
        found = [
            (grid, grid.dataset[item.name])
            for grid in cube.grids
            if item.name in grid.dataset.data_vars and item.grid in (None, grid.name)
        ]
        if len(found) != 1:
            names = [str(name) for grid in cube.grids for name in grid.dataset.data_vars]
            where = f" in grid {item.grid!r}" if item.grid else ""
            raise MappingError(
                f"The mapping of cube {cube.name!r} names the variable {item.name!r}{where}; the cube has "
                f"{', '.join(names)}{did_you_mean(item.name, names)}"
            )
        grid, data = found[0]
        static = "time" not in data.dims
        axes = self.grids.get(grid.name)
        if axes is None:
            times = np.array([], "M8[us]") if "time" not in grid.dataset.dims else grid.times.values
            y, x = grid.dataset["y"].to_numpy(), grid.dataset["x"].to_numpy()
            axes = self.grids[grid.name] = GridAxes(grid.name, self.mapping.base, y, x, times, grid.crs)
        integer = bool(np.issubdtype(data.dtype, np.integer) or data.dtype == bool)
        self.variables[item.property] = Variable(
            item.name,
            item.property,
            item.label,
            item.unit or str(data.attrs.get("units", "")),
            axes,
            partial(open_array, self.path, grid.name, item.name, data),
            static,
            integer,
            axes.observation_kind(item.name, static),
            tuple(rule for rule in self.mapping.interpretations if rule.property == item.property),
            self.path,
        )

    def description(self) -> Iterator[ox.Quad]:
        """Yield the triples that describe the cube: its properties and categories, and the metadata of the whole.

        They are real triples of the vector side, few and independent of the size of the cube.
        """
        node, label = ox.NamedNode, ox.NamedNode(v.RDFS + "label")
        cube = node(self.mapping.base.rstrip("/"))
        yield ox.Quad(cube, node(v.A), node(v.DCAT + "Dataset"))
        yield ox.Quad(cube, node(v.DCTERMS + "title"), ox.Literal(self.mapping.name))
        yield ox.Quad(cube, node(v.DCUBE + "simulated"), ox.Literal(self.simulated))
        for grid in self.grids.values():
            dataset = node(f"{self.mapping.base}{grid.name}")
            yield ox.Quad(dataset, node(v.A), node(v.QB + "DataSet"))
            yield ox.Quad(cube, node(v.DCTERMS + "hasPart"), dataset)
            for slot in (v.AT_CELL, v.AT_TIME) if len(grid.times) else (v.AT_CELL,):
                yield ox.Quad(dataset, node(v.DCUBE + "dimension"), node(slot))
        for variable in self.variables.values():
            subject = node(variable.property)
            yield ox.Quad(subject, node(v.A), node(v.SOSA + "ObservableProperty"))
            yield ox.Quad(subject, node(v.A), node(v.QB + "MeasureProperty"))
            yield ox.Quad(subject, label, ox.Literal(variable.label))
            yield ox.Quad(subject, node(v.DCUBE + "inDataSet"), node(f"{self.mapping.base}{variable.grid.name}"))
            if variable.unit:
                yield ox.Quad(subject, node(v.DCUBE + "unitText"), ox.Literal(variable.unit))
            for rule in variable.interpretations:
                yield ox.Quad(node(rule.iri), node(v.A), node(v.DCUBE + "Interpretation"))
                yield ox.Quad(node(rule.iri), label, ox.Literal(rule.label))
                yield ox.Quad(node(rule.iri), node(v.DCUBE + "interprets"), subject)
