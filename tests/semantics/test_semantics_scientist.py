"""What a scientist asks of cubes and real places, each answer checked against pandas, numpy and shapely.

The cubes are simulated; countries (Natural Earth), volcanoes (GVP) and streets (OpenStreetMap) are real.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyoxigraph as ox
import pytest
import shapely

from deepcube.semantics import SemanticCube, VectorStore
from deepcube.semantics.loading import load_file
from tests.semantics.scientist import (
    Table,
    countries,
    make_tables,
    metres,
    osm_lines,
    osm_points,
    volcanoes,
    write_tables,
)

Row = tuple[Any, ...]


class World:
    """The cubes, the places and the engine over both."""

    def __init__(self, folder: Path, shared: Path) -> None:
        self.tables = make_tables()
        earth, streets = shared / "natural-earth-npm" / "countries-110m.json", shared / "osm-helsinki"
        mountains = shared / "gvp-volcanoes" / "volcano.csv"
        vector = VectorStore()
        vector.add(load_file(earth, kind="Country"))
        vector.add(load_file(streets / "Helsinki.osm.pbf"))
        vector.add(load_file(mountains, kind="Volcano"))
        self.cube = SemanticCube(write_tables(self.tables, folder), vector)
        self.countries = countries(earth)
        self.points = osm_points(streets / "Helsinki.osm.pbf")
        self.rails = [
            shape for tags, shape in osm_lines(streets / "Helsinki.osm.pbf", "railway") if tags["railway"] == "rail"
        ]
        self.volcanoes = volcanoes(mountains)

    @property
    def city(self) -> Table:
        return self.tables["city"]

    @property
    def globe(self) -> Table:
        return self.tables["globe"]

    def amenities(self, kind: str) -> list[Any]:
        return [shape for tags, shape in self.points if tags.get("amenity") == kind]

    def ask(self, query: str) -> list[Row]:
        answer = self.cube.query(query)
        if answer.truth is not None:
            return [(answer.truth,)]
        return [tuple(map(_plain, row)) for row in answer.rows]


def _plain(term: Any) -> Any:
    if term is None:
        return None
    if isinstance(term, ox.Literal):
        kind = term.datatype.value.rsplit("#", 1)[-1]
        if kind == "integer":
            return int(term.value)
        return float(term.value) if kind in ("double", "decimal", "float") else term.value
    head, _, cell = term.value.partition("/main/cell/")
    return cell or head.rsplit("#", 1)[-1]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> World:
    return World(tmp_path_factory.mktemp("scientist"), shared_data)


Expected = Callable[[World], Iterable[Row]]
CASES: dict[str, tuple[str, Expected]] = {}


def case(query: str) -> Callable[[Expected], Expected]:
    """Add a question and what computes its answer."""

    def add(function: Expected) -> Expected:
        CASES[function.__name__] = (query, function)
        return function

    return add


def _close(a: Any, b: Any) -> bool:
    if isinstance(a, float) or isinstance(b, float):
        return a is not None and b is not None and math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9)
    return bool(a == b)


def _rows(frame: Any) -> list[Row]:
    return [
        tuple(x.item() if isinstance(x, np.generic) else x for x in row)
        for row in frame.reset_index().to_numpy().tolist()
    ]


def _text(time: pd.Timestamp) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S}Z"


@case("""SELECT ?month (AVG(?v) AS ?mean) (COUNT(?v) AS ?n) {
  ?o sosa:observedProperty var:ndvi ; sosa:resultTime ?t ; sosa:hasSimpleResult ?v } GROUP BY (MONTH(?t) AS ?month)""")
def monthly_means(world: World) -> Iterable[Row]:
    held = world.city.rows.dropna(subset="ndvi")
    return _rows(held.groupby(held["t"].dt.month)["ndvi"].agg([lambda x: x.astype(float).mean(), "count"]))


@case("""SELECT ?t (?sparse / ?all AS ?share) {
  { SELECT ?t (COUNT(?o) AS ?all) { ?o sosa:observedProperty var:ndvi ; sosa:resultTime ?t } GROUP BY ?t }
  { SELECT ?t (COUNT(?s) AS ?sparse) { ?s a dcube:SparseVegetation ; sosa:resultTime ?t } GROUP BY ?t } }""")
def share_of_sparse_vegetation_by_date(world: World) -> Iterable[Row]:
    for time, part in world.city.rows.dropna(subset="ndvi").groupby("t"):
        yield _text(time), float((part["ndvi"] < 0.2).sum() / len(part))


@case("""SELECT (COUNT(DISTINCT ?c) AS ?cells) (AVG(?v) AS ?mean) {
  ?o sosa:observedProperty var:ndvi ; sosa:hasFeatureOfInterest ?c ; sosa:hasSimpleResult ?v .
  ?c dcube:hasFootprint ?area .
  FILTER EXISTS { ?rail osmkey:railway "rail" . ?area geo:sfIntersects ?rail } }""")
def vegetation_of_cells_that_a_railway_crosses(world: World) -> Iterable[Row]:
    lines = shapely.union_all(world.rails)
    cells = world.city.cells_where(lambda areas: shapely.intersects(areas, lines), "footprint")
    held = world.city.rows.dropna(subset="ndvi")
    held = held[held["cell"].isin(cells)]
    yield held["cell"].nunique(), float(held["ndvi"].astype(float).mean())


@case("""SELECT ?class (COUNT(?r) AS ?n) {
  ?o sosa:observedProperty var:cover ; sosa:hasFeatureOfInterest ?c ; sosa:hasSimpleResult ?class .
  ?c dcube:hasFootprint ?area . ?r osmkey:amenity "restaurant" . ?area geo:sfContains ?r } GROUP BY ?class""")
def restaurants_by_land_cover(world: World) -> Iterable[Row]:
    cover = world.city.rows.drop_duplicates("cell").set_index("cell")["cover"]
    places = world.amenities("restaurant")
    # areas of restaurants are few, and of both kinds in the linked data: only nodes are places here
    found: dict[int, int] = {}
    for cell, area in world.city.cells["footprint"].items():
        held = sum(bool(shapely.contains(area, place)) for place in places + world_areas(world, "restaurant"))
        if held:
            found[int(cover[cell])] = found.get(int(cover[cell]), 0) + held
    return list(found.items())


def world_areas(world: World, amenity: str) -> list[Any]:
    """Return the geometries of ways and relations with an amenity, as they were loaded."""
    query = f'SELECT ?x ?w {{ ?x osmkey:amenity "{amenity}" ; geo:hasGeometry/geo:asWKT ?w }}'
    return [shapely.from_wkt(row[1].value) for row in world.cube.vector.query(query) if "/node/" not in row[0].value]


@case("""SELECT ?c (?later - ?earlier AS ?change) {
  ?a sosa:observedProperty var:ndvi ; sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?t ;
    sosa:hasSimpleResult ?earlier .
  ?b sosa:observedProperty var:ndvi ; sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?u ;
    sosa:hasSimpleResult ?later .
  FILTER(?t = "2020-04-02T00:00:00Z"^^xsd:dateTime && ?u = "2020-05-04T00:00:00Z"^^xsd:dateTime)
} ORDER BY DESC(?change) LIMIT 10""")
def greatest_greening_between_two_dates(world: World) -> Iterable[Row]:
    table = world.city.rows.assign(ndvi=lambda x: x["ndvi"].astype(float)).pivot(
        index="cell", columns="t", values="ndvi"
    )
    change = (table[pd.Timestamp("2020-05-04")] - table[pd.Timestamp("2020-04-02")]).dropna()
    return _rows(change.nlargest(10))


@case("""SELECT ?c ?t { ?p var:ndvi ?v ; var:lst ?l ; dcube:cell ?c ; dcube:time ?t FILTER(?v < 0.1 && ?l > 303) }""")
def sparse_and_hot_at_once(world: World) -> Iterable[Row]:
    held = world.city.rows.query("ndvi < 0.1 and lst > 303")
    return [(cell, _text(time)) for cell, time in zip(held["cell"], held["t"], strict=True)]


@case("""SELECT DISTINCT ?c ?t {
  ?a a dcube:SparseVegetation ; sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?t .
  ?b a dcube:SparseVegetation ; sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?u .
  FILTER(?u - ?t = "P16D"^^xsd:dayTimeDuration) }""")
def sparse_at_two_dates_in_a_row(world: World) -> Iterable[Row]:
    table = world.city.rows.pivot(index="cell", columns="t", values="ndvi") < 0.2
    for one, two in zip(table.columns, table.columns[1:], strict=False):
        yield from ((cell, _text(one)) for cell in table.index[table[one] & table[two]])


@case("""SELECT (COUNT(*) AS ?n) (MIN(?t) AS ?first) {
  ?o sosa:observedProperty var:lst ; sosa:resultTime ?t .
  FILTER(?t > "2020-10-27T00:00:00Z"^^xsd:dateTime - "P30D"^^xsd:dayTimeDuration) }""")
def the_last_thirty_days(world: World) -> Iterable[Row]:
    end = pd.Timestamp("2020-10-27") - pd.Timedelta(days=30)
    held = world.city.rows.dropna(subset="lst")
    held = held[held["t"] > end]
    yield len(held), _text(held["t"].min())


@case("""SELECT (COUNT(*) AS ?n) { ?o sosa:observedProperty var:lst ; sosa:resultTime ?t .
  FILTER(?t >= "2020-07-07T02:00:00+02:00"^^xsd:dateTime) }""")
def a_time_in_another_zone(world: World) -> Iterable[Row]:
    yield (int((world.city.rows.dropna(subset="lst")["t"] >= pd.Timestamp("2020-07-07")).sum()),)


@case("""SELECT ?c { ?c a dcube:Cell ; dcube:inGrid <https://w3id.org/deepcube/cube/city/main> .
  FILTER NOT EXISTS { ?o a dcube:DenseVegetation ; sosa:hasFeatureOfInterest ?c } }""")
def cells_that_were_never_dense(world: World) -> Iterable[Row]:
    dense = set(world.city.rows.query("ndvi > 0.6")["cell"])
    return [(cell,) for cell in world.city.cells.index if cell not in dense]


@case("""SELECT ?c { ?o sosa:observedProperty var:ndvi ; sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?t .
  FILTER(?t = "2020-06-21T00:00:00Z"^^xsd:dateTime)
  MINUS { ?x sosa:observedProperty var:lst ; sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?t } }""")
def vegetation_without_temperature(world: World) -> Iterable[Row]:
    held = world.city.rows[world.city.rows["t"] == pd.Timestamp("2020-06-21")]
    return [(cell,) for cell in held[held["ndvi"].notna() & held["lst"].isna()]["cell"]]


@case("""SELECT ?s (MIN(geof:distance(?place, ?where, uom:metre)) AS ?metres) (COUNT(DISTINCT ?c) AS ?n) {
  ?o a dcube:Hot ; sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?t . ?c geo:hasGeometry/geo:asWKT ?place .
  ?s osmkey:amenity "pub" ; geo:hasGeometry/geo:asWKT ?where . FILTER(CONTAINS(STR(?s), "/node/"))
  FILTER(?t = "2020-07-07T00:00:00Z"^^xsd:dateTime) FILTER(geof:distance(?place, ?where, uom:metre) < 150)
} GROUP BY ?s""")
def hot_cells_near_pubs(world: World) -> Iterable[Row]:
    held = world.city.rows[world.city.rows["t"] == pd.Timestamp("2020-07-07")].query("lst >= 300")
    for tags, place in world.points:
        far = metres(held["lon"], held["lat"], place.x, place.y)
        if tags.get("amenity") == "pub" and (far < 150).any():
            yield f"https://www.openstreetmap.org/node/{tags['osm_id']}", float(far.min()), int((far < 150).sum())


@case("""SELECT ?c ?risk { ?o sosa:observedProperty var:risk ; sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?t ;
    sosa:hasSimpleResult ?risk . ?g a dcube:Green ; sosa:hasFeatureOfInterest ?c .
  FILTER(?risk > 0.9) FILTER(YEAR(?t) = 2020 && MONTH(?t) IN (6, 7, 8)) }""")
def green_cells_of_high_predicted_risk_in_summer(world: World) -> Iterable[Row]:
    held = world.city.rows
    held = held[(held["risk"].astype(float) > 0.9) & held["t"].dt.month.isin([6, 7, 8]) & held["cover"].isin([1, 2])]
    return [(cell, float(risk)) for cell, risk in zip(held["cell"], held["risk"], strict=True)]


@case("""SELECT ?name (AVG(?v) AS ?mean) (COUNT(*) AS ?n) {
  ?o sosa:observedProperty var:spei3 ; sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?t ; sosa:hasSimpleResult ?v .
  ?country a feature:Country ; rdfs:label ?name . ?c geo:sfWithin ?country . FILTER(YEAR(?t) = 2021)
} GROUP BY ?name HAVING(AVG(?v) < -0.5) ORDER BY ?mean""")
def dry_countries(world: World) -> Iterable[Row]:
    held = world.globe.rows.query("t < '2022-01-01'").assign(spei3=lambda x: x["spei3"].astype(float))
    for name, shape in world.countries.items():
        cells = world.globe.cells_where(lambda points, shape=shape: shapely.within(points, shape))
        part = held[held["cell"].isin(cells)]
        if len(part) and part["spei3"].mean() < -0.5:
            yield name, float(part["spei3"].mean()), len(part)


@case("""SELECT ?name ?v { ?o sosa:observedProperty var:t2m ; sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?t ;
    sosa:hasSimpleResult ?v . ?c dcube:hasFootprint/geo:sfContains ?m .
  ?m a feature:Volcano ; rdfs:label ?name ; feature:Country "Italy" .
  FILTER(?t = "2021-07-01T00:00:00Z"^^xsd:dateTime) }""")
def temperature_at_italian_volcanoes(world: World) -> Iterable[Row]:
    held = world.globe.rows.query("t == '2021-07-01'").set_index("cell")["t2m"]
    for _, row in world.volcanoes.query("Country == 'Italy'").iterrows():
        place = shapely.Point(row["Longitude"], row["Latitude"])
        for cell in world.globe.cells_where(lambda areas, place=place: shapely.contains(areas, place), "footprint"):
            yield row["Volcano Name"] if "Volcano Name" in row else row["Name"], float(held[cell])


@case("""SELECT ?name (COUNT(DISTINCT ?m) AS ?volcanoes) (COUNT(DISTINCT ?c) AS ?cells) {
  ?country a feature:Country ; rdfs:label ?name . ?m a feature:Volcano ; geo:sfWithin ?country .
  ?o a dcube:SevereDrought ; sosa:hasFeatureOfInterest ?c . ?c geo:sfWithin ?country } GROUP BY ?name""")
def volcanoes_of_countries_with_drought(world: World) -> Iterable[Row]:
    dry = set(world.globe.rows[world.globe.rows["spei3"].astype(float) < -1.5]["cell"])
    mountains = shapely.points(world.volcanoes["Longitude"], world.volcanoes["Latitude"])
    labels = world.volcanoes.index.to_numpy()
    for name, shape in world.countries.items():
        cells = world.globe.cells_where(lambda points, shape=shape: shapely.within(points, shape)) & dry
        inside = labels[shapely.within(mountains, shape)]
        if cells and len(inside):
            yield name, len(inside), len(cells)


@case("""SELECT ?quarter (AVG(?v) AS ?mean) { ?o sosa:observedProperty var:spei3 ; sosa:resultTime ?t ;
    sosa:hasSimpleResult ?v . BIND(CONCAT(STR(YEAR(?t)), "Q", STR(FLOOR((MONTH(?t) - 1) / 3) + 1)) AS ?quarter)
} GROUP BY ?quarter""")
def quarterly_means(world: World) -> Iterable[Row]:
    rows = world.globe.rows
    names = rows["t"].dt.year.astype(str) + "Q" + rows["t"].dt.quarter.astype(str)
    return _rows(rows["spei3"].astype(float).groupby(names).mean())


@case("""SELECT ?month (COUNT(?c) AS ?n) {
  ?o a dcube:SevereDrought ; sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?t
} GROUP BY (SUBSTR(STR(?t), 1, 7) AS ?month) ORDER BY DESC(?n) LIMIT 3""")
def worst_months(world: World) -> Iterable[Row]:
    rows = world.globe.rows
    held = rows[rows["spei3"].astype(float) < -1.5]
    return _rows(held.groupby(held["t"].dt.strftime("%Y-%m"))["cell"].count().nlargest(3))


@case("""SELECT (COUNT(?o) AS ?n) { ?o sosa:observedProperty var:t2m ; sosa:hasFeatureOfInterest ?c .
  ?c geo:hasGeometry/geo:asWKT ?w FILTER(geof:minY(?w) > 66.5) }""")
def north_of_the_polar_circle(world: World) -> Iterable[Row]:
    yield (int((world.globe.rows["lat"] > 66.5).sum()),)


@case("""SELECT ?c (MIN(?t) AS ?first) { ?o sosa:observedProperty var:ndvi ; sosa:hasFeatureOfInterest ?c ;
    sosa:resultTime ?t ; sosa:hasSimpleResult ?v FILTER(?v < 0) } GROUP BY ?c""")
def first_date_below_zero(world: World) -> Iterable[Row]:
    for cell, time in world.city.rows.query("ndvi < 0").groupby("cell")["t"].min().items():
        yield cell, _text(time)


@case("""SELECT ?c (AVG(?v * ?v) - AVG(?v) * AVG(?v) AS ?variance) { ?o sosa:observedProperty var:lst ;
    sosa:hasFeatureOfInterest ?c ; sosa:hasSimpleResult ?v } GROUP BY ?c""")
def variance_in_time(world: World) -> Iterable[Row]:
    return _rows(world.city.rows.groupby("cell")["lst"].var(ddof=0))


@case("""SELECT ?t (SUM(?area) AS ?dry) { ?o a dcube:SevereDrought ; sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?t .
  ?c dcube:hasFootprint/geo:asWKT ?w BIND(geof:area(?w) AS ?area) } GROUP BY ?t""")
def area_in_drought(world: World) -> Iterable[Row]:
    rows = world.globe.rows
    for time, part in rows[rows["spei3"].astype(float) < -1.5].groupby("t"):
        yield _text(time), 25.0 * len(part)


@case("""SELECT ?label (COUNT(?o) AS ?n) { ?o a ?k . ?k a dcube:Interpretation ; rdfs:label ?label .
  ?o sosa:hasFeatureOfInterest ?c } GROUP BY ?label""")
def observations_by_category(world: World) -> Iterable[Row]:
    city, globe = world.city.rows, world.globe.rows
    yield "SparseVegetation", int((city["ndvi"] < 0.2).sum())
    yield "DenseVegetation", int((city["ndvi"].astype(float) > 0.6).sum())
    yield "Hot", int((city["lst"] >= 300).sum())
    yield "Green", int(city.drop_duplicates("cell")["cover"].isin([1, 2]).sum())
    yield "SevereDrought", int((globe["spei3"] < -1.5).sum())


@case("""SELECT ?label ?unit (MAX(?v) AS ?most) { ?o sosa:observedProperty ?p ; sosa:hasSimpleResult ?v .
  ?p rdfs:label ?label OPTIONAL { ?p dcube:unitText ?unit } } GROUP BY ?label ?unit""")
def greatest_value_of_every_property(world: World) -> Iterable[Row]:
    for name, label, unit in (
        ("ndvi", "vegetation index (simulated)", None),
        ("lst", "surface temperature (simulated)", "K"),
        ("cover", "land cover (simulated)", None),
        ("risk", "predicted fire risk (simulated)", None),
    ):
        yield label, unit, float(world.city.rows[name].max()) if name != "cover" else int(world.city.rows[name].max())
    yield "drought index (simulated)", None, float(world.globe.rows["spei3"].max())
    yield "air temperature (simulated)", "K", float(world.globe.rows["t2m"].max())


@case("""SELECT (AVG(?v) AS ?mean) { ?o sosa:observedProperty var:lst ; sosa:hasSimpleResult ?v ;
    sosa:hasFeatureOfInterest/geo:hasDefaultGeometry/geo:asWKT ?w . ?country rdfs:label "Finland" .
  FILTER(geof:sfIntersects(?w, "POLYGON((24.94 60.17, 24.95 60.17, 24.95 60.175, 24.94 60.17))"^^geo:wktLiteral)) }""")
def mean_in_a_triangle_by_one_path(world: World) -> Iterable[Row]:
    triangle = shapely.from_wkt("POLYGON((24.94 60.17, 24.95 60.17, 24.95 60.175, 24.94 60.17))")
    cells = world.city.cells_where(lambda points: shapely.intersects(points, triangle))
    yield (float(world.city.rows[world.city.rows["cell"].isin(cells)]["lst"].mean()),)


@case("""SELECT ?t ?v { ?c dcube:hasFootprint/geo:sfContains ?place . ?place a feature:Volcano ; rdfs:label "Etna" .
  ?c ^sosa:hasFeatureOfInterest ?o . ?o sosa:observedProperty var:spei3 ; sosa:resultTime ?t ;
    sosa:hasSimpleResult ?v }""")
def series_at_a_place(world: World) -> Iterable[Row]:
    row = world.volcanoes.query("Name == 'Etna'").iloc[0]
    held = world.globe.rows
    held = held[((held["lat"] - row.Latitude).abs() < 2.5) & ((held["lon"] - row.Longitude).abs() < 2.5)]
    return [(_text(t), float(v)) for t, v in zip(held["t"], held["spei3"], strict=True)]


@case("""SELECT ?name ?mean { ?s a feature:School . OPTIONAL { ?s rdfs:label ?name }
  OPTIONAL { SELECT ?s (AVG(?v) AS ?mean) { ?s a feature:School ; geo:hasGeometry/geo:asWKT ?where .
    ?o sosa:observedProperty var:ndvi ; sosa:hasFeatureOfInterest/geo:hasGeometry/geo:asWKT ?place ;
      sosa:hasSimpleResult ?v FILTER(geof:distance(?place, ?where, uom:metre) < 60) } GROUP BY ?s } }""")
def schools_with_vegetation_around_if_any(world: World) -> Iterable[Row]:
    query = "SELECT ?s ?n ?w { ?s a feature:School ; geo:hasGeometry/geo:asWKT ?w OPTIONAL { ?s rdfs:label ?n } }"
    for _, name, wkt in world.cube.vector.query(query):
        shape = shapely.from_wkt(wkt.value)
        scale = math.cos(math.radians(shape.centroid.y))
        flat = shapely.transform(shape, lambda p, scale=scale: p * [scale, 1] * math.pi * 6371008.7714 / 180)
        cells = world.city.cells
        points = shapely.points(cells["lon"] * scale, cells["lat"])
        points = shapely.transform(points, lambda p: p * math.pi * 6371008.7714 / 180)
        near = set(cells.index[shapely.distance(points, flat) < 60])
        held = world.city.rows[world.city.rows["cell"].isin(near)]["ndvi"].astype(float)
        yield name.value if name else None, float(held.mean()) if held.notna().any() else None


@case("""SELECT DISTINCT ?c { { ?o a dcube:SparseVegetation ; sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?t }
  UNION { ?o a dcube:Hot ; sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?t }
  FILTER(?t = "2020-08-08T00:00:00Z"^^xsd:dateTime) }""")
def sparse_or_hot(world: World) -> Iterable[Row]:
    held = world.city.rows[world.city.rows["t"] == pd.Timestamp("2020-08-08")]
    return [(cell,) for cell in held[(held["ndvi"] < 0.2) | (held["lst"] >= 300)]["cell"]]


@case("""SELECT (COUNT(*) AS ?n) { ?o sosa:observedProperty var:t2m ;
    sosa:phenomenonTime/time:inXSDDateTimeStamp ?t FILTER(YEAR(?t) = 2022 && DAY(?t) = 1) }""")
def instants_of_a_year(world: World) -> Iterable[Row]:
    yield (int((world.globe.rows["t"].dt.year == 2022).sum()),)


@case("""SELECT ?t (AVG(?v) AS ?mean) { VALUES ?t {
    "2020-05-04T00:00:00Z"^^xsd:dateTime "2020-05-05T00:00:00Z"^^xsd:dateTime
    "2020-08-24T00:00:00Z"^^xsd:dateTime } ?o sosa:observedProperty var:lst ; sosa:resultTime ?t ;
    sosa:hasSimpleResult ?v } GROUP BY ?t""")
def given_dates(world: World) -> Iterable[Row]:
    for date in ("2020-05-04", "2020-08-24"):
        yield f"{date}T00:00:00Z", float(world.city.rows[world.city.rows["t"] == date]["lst"].mean())


@case("""SELECT (COUNT(DISTINCT ?c) AS ?n) { ?o sosa:observedProperty var:t2m ; sosa:hasFeatureOfInterest ?c .
  ?c geo:sfWithin ?country . ?country rdfs:label "Brazil" }""")
def cells_of_a_country_west_of_greenwich(world: World) -> Iterable[Row]:
    """The cube counts longitudes from 0 to 360."""
    yield (len(world.globe.cells_where(lambda points: shapely.within(points, world.countries["Brazil"]))),)


@case("""SELECT ?c ?t { ?a a dcube:SevereDrought ; sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?t .
  ?b a dcube:SevereDrought ; sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?u .
  ?d a dcube:SevereDrought ; sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?w .
  FILTER(?u = ?t + "P1M"^^xsd:yearMonthDuration && ?w = ?t + "P2M"^^xsd:yearMonthDuration) }""")
def three_months_of_drought_in_a_row(world: World) -> Iterable[Row]:
    table = world.globe.rows.pivot(index="cell", columns="t", values="spei3").astype(float) < -1.5
    for one, two, three in zip(table.columns, table.columns[1:], table.columns[2:], strict=False):
        yield from ((cell, _text(one)) for cell in table.index[table[one] & table[two] & table[three]])


@case("""SELECT ?c ?t (?v - ?usual AS ?anomaly) {
  { SELECT ?c ?month (AVG(?w) AS ?usual) { ?x sosa:observedProperty var:t2m ;
      sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?s ; sosa:hasSimpleResult ?w } GROUP BY ?c (MONTH(?s) AS ?month) }
  ?o sosa:observedProperty var:t2m ; sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?t ; sosa:hasSimpleResult ?v .
  FILTER(MONTH(?t) = ?month) } ORDER BY DESC(ABS(?anomaly)) LIMIT 5""")
def greatest_anomalies(world: World) -> Iterable[Row]:
    rows = world.globe.rows.copy()
    rows["anomaly"] = rows["t2m"] - rows.groupby(["cell", rows["t"].dt.month])["t2m"].transform("mean")
    top = rows.assign(size=rows["anomaly"].abs()).nlargest(5, "size")
    return [(c, _text(t), float(a)) for c, t, a in zip(top["cell"], top["t"], top["anomaly"], strict=True)]


@case("""SELECT (COUNT(DISTINCT ?c) AS ?n) { ?o sosa:observedProperty var:lst ; sosa:hasFeatureOfInterest ?c .
  ?c geo:hasGeometry/geo:asWKT ?w
  FILTER(geof:distance(?w, "POINT(24.945 60.17)"^^geo:wktLiteral, uom:kilometre) <= 0.4) }""")
def within_kilometres(world: World) -> Iterable[Row]:
    cells = world.city.cells
    yield (int((metres(cells["lon"], cells["lat"], 24.945, 60.17) <= 400).sum()),)


@case("""SELECT ?v { ?o sosa:observedProperty var:cover ; sosa:hasFeatureOfInterest ?c ; sosa:hasSimpleResult ?v .
  ?c dcube:hasFootprint/geo:asWKT ?w FILTER(geof:sfContains(?w, "POINT(24.9402 60.1713)"^^geo:wktLiteral)) }""")
def value_at_a_point(world: World) -> Iterable[Row]:
    (cell,) = world.city.cells_where(
        lambda areas: shapely.contains(areas, shapely.Point(24.9402, 60.1713)), "footprint"
    )
    yield (int(world.city.rows[world.city.rows["cell"] == cell]["cover"].iloc[0]),)


@case(
    """ASK { ?o a dcube:SevereDrought ; sosa:hasFeatureOfInterest ?c . ?c geo:sfWithin ?z . ?z rdfs:label "Somalia" }"""
)
def any_drought_in_a_country(world: World) -> Iterable[Row]:
    cells = world.globe.cells_where(lambda points: shapely.within(points, world.countries["Somalia"]))
    yield (bool((world.globe.rows[world.globe.rows["cell"].isin(cells)]["spei3"].astype(float) < -1.5).any()),)


@case("""SELECT ?one ?other (COUNT(DISTINCT ?c) AS ?n) { ?a a feature:Country ; rdfs:label ?one .
  ?b a feature:Country ; rdfs:label ?other . ?a geo:sfTouches ?b . ?c geo:sfWithin ?b .
  ?o a dcube:SevereDrought ; sosa:hasFeatureOfInterest ?c . FILTER(?one = "Kenya") } GROUP BY ?one ?other""")
def neighbours_in_drought(world: World) -> Iterable[Row]:
    kenya, dry = world.countries["Kenya"], set(world.globe.rows[world.globe.rows["spei3"].astype(float) < -1.5]["cell"])
    for name, shape in world.countries.items():
        cells = world.globe.cells_where(lambda points, shape=shape: shapely.within(points, shape)) & dry
        if cells and shapely.touches(kenya, shape):
            yield "Kenya", name, len(cells)


@pytest.mark.parametrize("name", sorted(CASES))
def test_question(world: World, name: str) -> None:
    query, expected = CASES[name]
    found, wanted = world.ask(query), list(expected(world))
    assert wanted, "the question has no answer to check"
    key = lambda row: tuple("" if x is None else f"{x:.4f}" if isinstance(x, float) else str(x) for x in row)  # noqa: E731
    found, wanted = sorted(found, key=key), sorted(wanted, key=key)
    assert len(found) == len(wanted), (found[:5], wanted[:5])
    for mine, theirs in zip(found, wanted, strict=True):
        assert len(mine) == len(theirs) and all(map(_close, mine, theirs)), (mine, theirs)
