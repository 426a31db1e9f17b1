"""Ask cubes and linked data together in SPARQL 1.1, over every pixel and without copying one.

A cube's observations are a virtual graph: patterns over them become array reads restricted in time, place and value,
joined in columns with what an RDF store answers about features, roads and regions. May import :mod:`deepcube.cubes`;
what cannot be answered exactly is refused.
"""

from deepcube.semantics.engine import SemanticCube
from deepcube.semantics.errors import (
    GeometryError,
    LoadError,
    MappingError,
    QueryStoppedError,
    QuerySyntaxError,
    SemanticsError,
    UnboundedQueryError,
    UnknownTermError,
    UnsupportedQueryError,
)
from deepcube.semantics.mapping import (
    CubeMapping,
    Interpretation,
    MappedVariable,
    default_mapping,
    read_mapping,
    write_mapping,
)
from deepcube.semantics.results import GRAPH_FORMATS, TABLE_FORMATS, Answer, write_triples
from deepcube.semantics.session import Limits, Plan, Read, Stop
from deepcube.semantics.source import CubeSource
from deepcube.semantics.vector import VectorStore

__all__ = [
    "GRAPH_FORMATS",
    "TABLE_FORMATS",
    "Answer",
    "CubeMapping",
    "CubeSource",
    "GeometryError",
    "Interpretation",
    "Limits",
    "LoadError",
    "MappedVariable",
    "MappingError",
    "Plan",
    "QueryStoppedError",
    "QuerySyntaxError",
    "Read",
    "SemanticCube",
    "SemanticsError",
    "Stop",
    "UnboundedQueryError",
    "UnknownTermError",
    "UnsupportedQueryError",
    "VectorStore",
    "default_mapping",
    "read_mapping",
    "write_mapping",
    "write_triples",
]
