"""The catalogue says where and when a cube is, and a part of a cube goes into a file."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pyoxigraph as ox
from click.testing import CliRunner

from deepcube.semantics import CubeSource
from deepcube.semantics.catalogue import catalogue
from deepcube.semantics.geometry import parse_geometry
from deepcube.semantics.vocabulary import PREFIXES
from jobs.cli import command
from tests.semantics.worked import write_world


def test_catalogue_of_a_cube_and_a_feature_group(tmp_path: Path) -> None:
    cube, _ = write_world(tmp_path)
    group = SimpleNamespace(
        name="displacement",
        version=2,
        description="persons by district and month (simulated)",
        columns=[SimpleNamespace(name="persons", type="bigint", description="displaced persons")],
    )
    store = ox.Store()
    store.extend(ox.Quad(*triple) for triple in catalogue([CubeSource(cube)], [group]))
    (row,) = store.query(
        """SELECT ?box ?start ?end ?simulated { ?c a dcat:Catalog ; dcat:dataset ?d . ?d dcube:simulated ?simulated ;
        dcterms:spatial/dcat:bbox ?box ; dcterms:temporal [ dcat:startDate ?start ; dcat:endDate ?end ] }""",
        prefixes=PREFIXES,
    )
    assert parse_geometry(row["box"]).bounds == (40.025, 0.025, 41.975, 1.975)
    assert [row[name].value for name in ("start", "end", "simulated")] == [
        "2020-07-01T00:00:00Z",
        "2021-06-01T00:00:00Z",
        "true",
    ]
    assert bool(
        store.query(
            'ASK { ?d dcterms:title "displacement" ; dcat:theme [ rdfs:label "persons" ; dcterms:type "bigint" ] }',
            prefixes=PREFIXES,
        )
    )


def test_a_region_goes_into_a_file(tmp_path: Path) -> None:
    cube, _ = write_world(tmp_path)
    target = tmp_path / "danger.nt"
    query = (
        "CONSTRUCT { ?o a dcube:ExtremeFireDanger ; sosa:hasSimpleResult ?v . ?c geo:asWKT ?w } WHERE { ?o a "
        "dcube:ExtremeFireDanger ; sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?t ; sosa:hasSimpleResult ?v . "
        "?c geo:hasGeometry/geo:asWKT ?w FILTER(geof:sfWithin(?w, "
        "'POLYGON((40 1.5, 41 1.5, 41 2, 40 2, 40 1.5))'^^geo:wktLiteral)) }"
    )
    result = CliRunner().invoke(command, ["query", query, "--cube", str(cube), "-o", str(target)])
    assert result.exit_code == 0, result.output
    triples = list(ox.parse(path=str(target), format=ox.RdfFormat.N_TRIPLES))
    assert len(triples) == 27  # nine cells, three triples each
    assert not list(tmp_path.glob(".*.part"))
