"""Worked questions of the use cases, as the query page and ``deepcube semantics questions`` offer them.

They speak of mapped properties (``var:fwi``, ``var:spei3``, ``var:unrest``), of interpretations
(``dcube:ExtremeFireDanger``, ...) and of features loaded with ``deepcube semantics load``; :data:`INTERPRETATIONS` is
the part of a mapping file that defines the categories.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepcube.semantics.terms import DATE_TIME

if TYPE_CHECKING:
    from deepcube.semantics.engine import SemanticCube

INTERPRETATIONS = """\
dcube:ExtremeFireDanger a dcube:Interpretation ; dcube:interprets var:fwi ;
    dcube:moreThan 50 ; rdfs:label "extreme fire danger" .
dcube:SevereDrought a dcube:Interpretation ; dcube:interprets var:spei3 ;
    dcube:lessThan -1.5 ; rdfs:label "severe drought" .
dcube:DetectedUnrest a dcube:Interpretation ; dcube:interprets var:unrest ;
    dcube:atLeast 0.5 ; rdfs:label "detected unrest" .
"""
"""Categories of the questions, to be put into the mapping of a cube that has the properties."""

FIRE = """\
# Assets within 10 km of extreme fire danger on a day (for tomorrow: the day of NOW() + "P1D"^^xsd:dayTimeDuration)
SELECT ?asset ?name (MAX(?fwi) AS ?danger) ?where
WHERE {
  ?observation a dcube:ExtremeFireDanger ;
    sosa:hasFeatureOfInterest ?cell ; sosa:resultTime ?day ; sosa:hasSimpleResult ?fwi .
  ?cell geo:hasGeometry/geo:asWKT ?place .
  ?asset a feature:Hospital ; rdfs:label ?name ; geo:hasGeometry/geo:asWKT ?where .
  FILTER(?day = "2020-07-02T00:00:00Z"^^xsd:dateTime)
  FILTER(geof:distance(?place, ?where, uom:metre) < 10000)
}
GROUP BY ?asset ?name ?where
ORDER BY DESC(?danger)
"""

DROUGHT = """\
# Districts in severe drought in two months one after the other whose displacement rises
SELECT ?name ?may ?june ?before ?after
WHERE {
  { SELECT ?district (AVG(?first) AS ?may) WHERE {
      ?o sosa:observedProperty var:spei3 ;
        sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?t ; sosa:hasSimpleResult ?first .
      ?c geo:hasGeometry/geo:asWKT ?p . ?district a feature:District ; geo:hasGeometry/geo:asWKT ?shape .
      FILTER(?t = "2021-05-01T00:00:00Z"^^xsd:dateTime) FILTER(geof:sfWithin(?p, ?shape))
    } GROUP BY ?district HAVING(AVG(?first) < -1.5) }
  { SELECT ?district (AVG(?second) AS ?june) WHERE {
      ?o sosa:observedProperty var:spei3 ;
        sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?t ; sosa:hasSimpleResult ?second .
      ?c geo:hasGeometry/geo:asWKT ?p . ?district a feature:District ; geo:hasGeometry/geo:asWKT ?shape .
      FILTER(?t = "2021-06-01T00:00:00Z"^^xsd:dateTime) FILTER(geof:sfWithin(?p, ?shape))
    } GROUP BY ?district HAVING(AVG(?second) < -1.5) }
  ?district rdfs:label ?name .
  ?earlier a feature:Displacement ; feature:district ?name ; feature:month "2021-05" ; feature:persons ?before .
  ?later a feature:Displacement ; feature:district ?name ; feature:month "2021-06" ; feature:persons ?after .
  FILTER(?after > ?before)
}
ORDER BY ?name
"""

VOLCANO = """\
# Volcanoes with detected unrest within 5 km of their top, and the settlements within 10 km
SELECT DISTINCT ?volcano ?settlement ?metres ?where
WHERE {
  ?observation a dcube:DetectedUnrest ; sosa:hasFeatureOfInterest ?cell .
  ?cell geo:hasGeometry/geo:asWKT ?place .
  ?v a feature:Volcano ; rdfs:label ?volcano ; geo:hasGeometry/geo:asWKT ?top .
  ?s a feature:Settlement ; rdfs:label ?settlement ; geo:hasGeometry/geo:asWKT ?where .
  FILTER(geof:distance(?place, ?top, uom:metre) < 5000)
  FILTER(geof:distance(?top, ?where, uom:metre) < 10000)
  BIND(geof:distance(?top, ?where, uom:metre) AS ?metres)
}
ORDER BY ?volcano ?metres
"""

RAILWAY = """\
# Scatterers whose trend changed, as predictions have it, within 200 m of a railway
SELECT ?scatterer ?change (MIN(?metres) AS ?distance) ?place
WHERE {
  ?scatterer a feature:Scatterer ; feature:trend_change true ; feature:change_mm_per_year ?change ;
    geo:hasGeometry/geo:asWKT ?place .
  ?railway a feature:Railway ; geo:hasGeometry/geo:asWKT ?line .
  BIND(geof:distance(?place, ?line, uom:metre) AS ?metres)
  FILTER(?metres < 200)
}
GROUP BY ?scatterer ?change ?place
ORDER BY ?distance
"""

_PROPERTIES = """\
# What can be asked about: the properties of the cubes, and the categories of their values
SELECT ?property ?label ?unit ?category
WHERE {
  ?property a sosa:ObservableProperty ; rdfs:label ?label .
  OPTIONAL { ?property dcube:unitText ?unit }
  OPTIONAL { ?category a dcube:Interpretation ; dcube:interprets ?property }
}
ORDER BY ?label ?category
"""

_BY_MONTH = """\
# Mean of a property by year and month
SELECT ?year ?month (AVG(?value) AS ?mean) (COUNT(?value) AS ?pixels)
WHERE {
  ?observation sosa:observedProperty <PROPERTY> ; sosa:resultTime ?time ; sosa:hasSimpleResult ?value .
}
GROUP BY (YEAR(?time) AS ?year) (MONTH(?time) AS ?month)
ORDER BY ?year ?month
"""

_MAP = """\
# The cells of a property at one time, on the map
SELECT ?value ?area
WHERE {
  ?observation sosa:observedProperty <PROPERTY> ; sosa:resultTime ?time ;
    sosa:hasFeatureOfInterest ?cell ; sosa:hasSimpleResult ?value .
  ?cell dcube:hasFootprint/geo:asWKT ?area .
  FILTER(?time = "TIME"^^xsd:dateTime)
}
LIMIT 2000
"""

QUESTIONS: dict[str, tuple[str, str]] = {
    "fire": ("Assets near extreme fire danger", FIRE),
    "drought": ("Districts in drought with rising displacement", DROUGHT),
    "volcano": ("Settlements near volcanoes with unrest", VOLCANO),
    "railway": ("Moving scatterers near railways", RAILWAY),
}
"""Title and text of each question by name."""


def examples(cube: SemanticCube) -> tuple[tuple[str, str], ...]:
    """Return title and text of questions that can be asked of a cube: general ones, and worked ones that fit it."""
    found = [("Properties and categories", _PROPERTIES)]
    timed = [item for source in cube.cubes for item in source.variables.values() if not item.static]
    for variable in timed[:3]:
        time = str(DATE_TIME.decode([int(variable.grid.times[-1])])[0].value)
        found.append((f"Mean of {variable.label} by month", _BY_MONTH.replace("PROPERTY", variable.property)))
        if min(variable.grid.shape) > 1:
            text = _MAP.replace("PROPERTY", variable.property).replace("TIME", time)
            found.append((f"Map of {variable.label} at its last time", text))
    return (*found, *(item for item in QUESTIONS.values() if cube.fits(item[1])))
