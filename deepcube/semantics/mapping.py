"""The declarative mapping of a cube: which property each variable observes, and what its values mean.

A mapping is a Turtle file in the words of ``ontology.ttl``::

    <urn:my-cube> a dcube:CubeMapping ;
        dcube:name "season" ;
        dcube:variable [ dcube:variableName "ndvi" ; dcube:property var:ndvi ; rdfs:label "vegetation index" ] .

    dcube:SparseVegetation a dcube:Interpretation ; dcube:interprets var:ndvi ; dcube:lessThan 0.2 .

A cube without a mapping file gets the default one: every variable, under its own name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyoxigraph as ox

from deepcube.semantics import vocabulary as v
from deepcube.semantics.errors import MappingError, did_you_mean

OPERATORS: dict[str, str] = {
    v.DCUBE + "lessThan": "<",
    v.DCUBE + "atMost": "<=",
    v.DCUBE + "moreThan": ">",
    v.DCUBE + "atLeast": ">=",
    v.DCUBE + "equalTo": "=",
}
"""Conditions of an interpretation by the IRI that states them."""

_WORDS = {"variableName", "gridName", "property", "name", "base", "variable", "interprets", "oneOf"}
_WORDS |= {iri.removeprefix(v.DCUBE) for iri in OPERATORS} | {"CubeMapping", "Interpretation"}


@dataclass(frozen=True)
class Interpretation:
    """A category that observations of a property belong to by their value.

    Attributes
    ----------
    iri : str
        The class.
    property : str
        IRI of the observed property.
    conditions : tuple of (str, float)
        Operator (``<``, ``<=``, ``>``, ``>=``, ``=``) and constant; all must hold.
    one_of : tuple of float or None
        Values of which it must be one.
    label : str
        For people.
    """

    iri: str
    property: str
    conditions: tuple[tuple[str, float], ...] = ()
    one_of: tuple[float, ...] | None = None
    label: str = ""


@dataclass(frozen=True)
class MappedVariable:
    """A variable of a cube and the property that its values are observations of."""

    name: str
    property: str
    grid: str | None = None
    label: str = ""
    unit: str = ""


@dataclass(frozen=True)
class CubeMapping:
    """What a mapping file says.

    Attributes
    ----------
    name : str
        Name of the cube, part of the IRIs of its things.
    base : str
        What these IRIs begin with; ends with ``/``.
    variables : tuple of MappedVariable
        What is mapped; at most one variable a property.
    interpretations : tuple of Interpretation
        Categories by value.
    """

    name: str
    base: str
    variables: tuple[MappedVariable, ...]
    interpretations: tuple[Interpretation, ...] = field(default=())


def default_mapping(name: str, variables: MappingType[str, Any]) -> CubeMapping:
    """Return the mapping that every variable has under its own name, with ``_`` for what no prefixed name may hold.

    Parameters
    ----------
    name : str
        Name of the cube.
    variables : mapping of str to deepcube.cubes.Variable
        As ``Cube.variables``; those with dimensions other than time, y and x are left out.
    """
    mapped = tuple(
        MappedVariable(
            item.name, v.VARIABLE + re.sub(r"[^\w.-]", "_", key, flags=re.ASCII), item.grid, item.long_name, item.units
        )
        for key, item in variables.items()
        if set(item.dims) in ({"time", "y", "x"}, {"y", "x"})
    )
    return CubeMapping(name, f"{v.CUBE_BASE}{name}/", mapped)


def read_mapping(path: Path, cube_name: str) -> CubeMapping:
    """Read a mapping file.

    Parameters
    ----------
    path : pathlib.Path
        A Turtle file.
    cube_name : str
        Name of the cube, for a mapping that does not name it.

    Raises
    ------
    MappingError
        If the file is no Turtle or breaks the ontology; the message names the line.
    """
    text = path.read_text(encoding="utf-8")
    try:
        store = ox.Store()
        store.bulk_load(text.encode(), ox.RdfFormat.TURTLE, base_iri=v.CUBE_BASE)
    except SyntaxError as error:
        line = getattr(error, "lineno", None) or 1
        raise MappingError(f"{path}, line {line}: {error.msg if error.msg else error}; expected Turtle.") from error
    return _Reader(path, text, store).mapping(cube_name)


class _Reader:
    """Turns the triples of one file into a mapping; knows the lines that words stand on."""

    def __init__(self, path: Path, text: str, store: ox.Store) -> None:
        self._path, self._lines, self._store = path, text.splitlines(), store

    def mapping(self, cube_name: str) -> CubeMapping:
        for quad in self._store:
            iri = quad.predicate.value
            if iri.startswith(v.DCUBE) and iri.removeprefix(v.DCUBE) not in _WORDS:
                word = iri.removeprefix(v.DCUBE)
                raise self._error(word, f"there is no dcube:{word}{did_you_mean(word, _WORDS)}")
        roots = self._subjects(v.DCUBE + "CubeMapping")
        if len(roots) != 1:
            raise self._error("CubeMapping", f"expected one dcube:CubeMapping, found {len(roots)}")
        name = self._text(roots[0], "name") or cube_name
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            raise self._error(name, f"dcube:name is {name!r}; expected letters, digits, _ and -")
        base = self._text(roots[0], "base") or f"{v.CUBE_BASE}{name}/"
        variables = tuple(self._variable(node) for node in self._objects(roots[0], v.DCUBE + "variable"))
        if not variables:
            raise self._error("CubeMapping", "expected at least one dcube:variable")
        properties = [variable.property for variable in variables]
        for variable in variables:
            if properties.count(variable.property) > 1:
                raise self._error(variable.name, f"two variables observe <{variable.property}>; expected one")
        interpretations = tuple(
            self._interpretation(node, properties) for node in self._subjects(v.DCUBE + "Interpretation")
        )
        return CubeMapping(name, base if base.endswith("/") else base + "/", variables, interpretations)

    def _variable(self, node: Any) -> MappedVariable:
        name, held = self._text(node, "variableName"), self._objects(node, v.DCUBE + "property")
        if not name or len(held) != 1 or not isinstance(held[0], ox.NamedNode):
            raise self._error(
                name or "variable", "a dcube:variable needs one dcube:variableName and one dcube:property"
            )
        labels = self._objects(node, v.RDFS + "label")
        units = self._objects(node, v.QUDT + "unit")
        return MappedVariable(
            name,
            held[0].value,
            self._text(node, "gridName"),
            labels[0].value if labels else name,
            units[0].value if units else "",
        )

    def _interpretation(self, node: Any, properties: list[str]) -> Interpretation:
        local = re.split(r"[#/]", node.value)[-1]
        held = self._objects(node, v.DCUBE + "interprets")
        if len(held) != 1 or held[0].value not in properties:
            found = ", ".join(f"<{item.value}>" for item in held) or "nothing"
            hint = did_you_mean(held[0].value, properties) if held else ""
            raise self._error(local, f"{local} interprets {found}; expected one mapped property{hint}")
        conditions = tuple(
            (operator, self._number(value, local))
            for iri, operator in OPERATORS.items()
            for value in self._objects(node, iri)
        )
        lists = self._objects(node, v.DCUBE + "oneOf")
        one_of = tuple(self._number(item, local) for item in self._list(lists[0])) if lists else None
        if not conditions and not one_of:
            raise self._error(local, f"{local} has no condition; expected one such as dcube:lessThan 0.2")
        labels = self._objects(node, v.RDFS + "label")
        return Interpretation(node.value, held[0].value, conditions, one_of, labels[0].value if labels else local)

    def _number(self, term: Any, near: str) -> float:
        try:
            return float(term.value)
        except ValueError:
            raise self._error(near, f"{near}: found {term.value!r}, expected a number") from None

    def _list(self, node: Any) -> list[Any]:
        items = []
        while node.value != v.RDF + "nil":
            items += self._objects(node, v.RDF + "first")
            node = self._objects(node, v.RDF + "rest")[0]
        return items

    def _subjects(self, kind: str) -> list[Any]:
        quads = self._store.quads_for_pattern(None, ox.NamedNode(v.A), ox.NamedNode(kind))
        return sorted((quad.subject for quad in quads), key=str)

    def _objects(self, node: Any, predicate: str) -> list[Any]:
        quads = self._store.quads_for_pattern(node, ox.NamedNode(predicate), None)
        return sorted((quad.object for quad in quads), key=str)

    def _text(self, node: Any, word: str) -> str | None:
        held = self._objects(node, v.DCUBE + word)
        return held[0].value if held else None

    def _error(self, word: str, message: str) -> MappingError:
        line = next((i for i, text in enumerate(self._lines, 1) if word in text), 1)
        return MappingError(f"{self._path}, line {line}: {message}.")


def write_mapping(mapping: CubeMapping) -> str:
    """Return the Turtle text of a mapping, ready to be edited."""
    lines = [f"@prefix {prefix}: <{v.PREFIXES[prefix]}> ." for prefix in ("dcube", "var", "rdfs", "qudt", "unit")]
    lines += ["", f"<{mapping.base}mapping> a dcube:CubeMapping ;", f'    dcube:name "{mapping.name}" ;']
    lines += [f'    dcube:base "{mapping.base}" ;']
    for i, variable in enumerate(mapping.variables):
        grid = f' ; dcube:gridName "{variable.grid}"' if variable.grid else ""
        end = " ." if i == len(mapping.variables) - 1 else " ;"
        lines.append(
            f'    dcube:variable [ dcube:variableName "{variable.name}"{grid} ;'
            f" dcube:property {_short(variable.property)} ; rdfs:label {ox.Literal(variable.label)} ]{end}"
        )
    words = {operator: iri.removeprefix(v.DCUBE) for iri, operator in OPERATORS.items()}
    for item in mapping.interpretations:
        parts = [f"dcube:{words[operator]} {value!r}" for operator, value in item.conditions]
        if item.one_of:
            parts.append(f"dcube:oneOf ( {' '.join(map(repr, item.one_of))} )")
        lines += ["", f"{_short(item.iri)} a dcube:Interpretation ; dcube:interprets {_short(item.property)} ;"]
        lines += [f"    {' ; '.join(parts)} ; rdfs:label {ox.Literal(item.label)} ."]
    return "\n".join(lines) + "\n"


def _short(iri: str) -> str:
    """Return an IRI as Turtle has it, with a prefix where that is plain to read."""
    for prefix, namespace in (("var", v.VARIABLE), ("dcube", v.DCUBE)):
        if iri.startswith(namespace) and re.fullmatch(r"[A-Za-z0-9_]+", iri.removeprefix(namespace)):
            return f"{prefix}:{iri.removeprefix(namespace)}"
    return f"<{iri}>"
