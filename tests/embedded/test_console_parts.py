"""Parts of the console's pages that need no server: charts, lineage, logs, explanations, escaping."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError

from deepcube.embedded.console.charts import HEIGHT, WIDTH, attribution_bars, histogram
from deepcube.embedded.console.deployments import read_explanations
from deepcube.embedded.console.features import unit_of
from deepcube.embedded.console.jobs import read_log
from deepcube.embedded.console.lineage import Drawing, Graph, Node, draw, read_links
from deepcube.embedded.console.links import console_path
from deepcube.embedded.console.models import side_by_side
from deepcube.embedded.console.render import cell, duration, number, render, size, tone, when

numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)


# -- histograms


def _statistics(bins: list[tuple[str, int]], as_text: bool = True) -> dict[str, Any]:
    extended = {"histogram": [{"value": value, "count": count, "ratio": 0.0} for value, count in bins]}
    return {"featureName": "x", "extendedStatistics": json.dumps(extended) if as_text else extended}


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=50), st.booleans())
def test_a_histogram_stays_in_its_drawing_and_in_proportion(counts: list[int], as_text: bool) -> None:
    bins = [(f"{position / 2!r} to {(position + 1) / 2!r}", count) for position, count in enumerate(counts)]
    chart = histogram(_statistics(bins, as_text))
    assert chart is not None and chart.is_numeric
    assert len(chart.bars) == len(counts)
    for bar, count in zip(chart.bars, counts, strict=True):
        assert 0 <= bar.x <= bar.x + bar.width <= WIDTH
        assert 0 <= bar.y <= HEIGHT
        assert bar.y + bar.height == pytest.approx(HEIGHT, abs=0.02)
        assert bar.height == pytest.approx(HEIGHT * count / max(1, *counts), abs=0.01)
    assert (chart.low, chart.high) == ("0", f"{len(counts) / 2:.4g}")


def test_negative_and_exponential_edges_are_numbers() -> None:
    chart = histogram(_statistics([("-1e-05 to -2.5", 1), ("-2.5 to 3e+20", 2)]))
    assert chart is not None and chart.is_numeric
    assert chart.high == "3e+20"


def test_categories_are_bars_with_their_names() -> None:
    chart = histogram(_statistics([("from A to B", 1), ("<b>", 3)]))
    assert chart is not None and not chart.is_numeric
    assert [bar.label for bar in chart.bars] == ["<b>: 3", "from A to B: 1"]
    assert chart.bars[0].width == WIDTH


@pytest.mark.parametrize("extended", [None, "", "not json", "[]", "{}", '{"histogram": []}', '{"histogram": 3}'])
def test_without_a_histogram_there_is_none(extended: str | None) -> None:
    assert histogram({"featureName": "x", "extendedStatistics": extended}) is None


# -- attributions


@given(st.dictionaries(st.text(min_size=1), st.floats(width=32), max_size=20))
def test_attribution_bars_lie_on_one_axis(values: dict[str, float]) -> None:
    bars = attribution_bars(values)
    assert {bar.name for bar in bars} == {name for name, value in values.items() if math.isfinite(value)}
    sizes = [abs(bar.value) for bar in bars]
    assert sizes == sorted(sizes, reverse=True)
    for bar in bars:
        assert -1e-3 <= bar.start <= bar.start + bar.width <= 1 + 1e-3
        touches = bar.start if bar.is_positive else bar.start + bar.width
        assert touches == pytest.approx(bar.zero, abs=1e-3)


def test_explanations_are_found_beside_the_predictions() -> None:
    answer = {
        "predictions": [1.5, 2.5],
        "explanations": [{"attributions": {"a": 2, "b": -3.0}, "completeness_error": 0.1}, {"note": "none"}],
    }
    (one,) = read_explanations(answer)
    assert (one.instance, one.output, one.inputs) == (1, "", {})
    assert [(bar.name, bar.value) for bar in one.bars] == [("b", -3.0), ("a", 2.0)]
    assert one.facts == [("prediction", 1.5), ("completeness error", 0.1)]


def test_explanations_are_found_in_the_predictions_per_output() -> None:
    explained = {
        "prediction": {"step_1": 0.3, "step_2": 0.4},
        "inputs": {"a": 7},
        "explanation": {
            "method": "integrated gradients",
            "attributions": {"step_1": {"a": 1.0}, "step_2": {"a": 2.0}},
            "completeness_error": {"step_1": 0.01, "step_2": 0.02},
        },
    }
    first, second = read_explanations({"predictions": [{"step_1": 0.1}, explained]})
    assert (first.instance, first.output, second.output) == (2, "step_1", "step_2")
    assert second.inputs == {"a": 7}
    assert second.facts == [
        ("prediction", 0.4),
        ("method", "integrated gradients"),
        ("completeness error", 0.02),
    ]


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(
    st.one_of(
        json_values,
        st.fixed_dictionaries({"explanations": st.lists(st.fixed_dictionaries({"attributions": json_values}))}),
        st.fixed_dictionaries(
            {
                "predictions": st.lists(
                    st.fixed_dictionaries(
                        {"explanation": st.fixed_dictionaries({"attributions": json_values}), "inputs": json_values}
                    )
                )
            }
        ),
    )
)
def test_any_answer_can_be_read(answer: Any) -> None:
    for each in read_explanations(answer):
        assert all(isinstance(bar.value, float) for bar in each.bars)


# -- lineage


def _link(kind: str, name: str, **more: Any) -> dict[str, Any]:
    artifact = {"name": name, "version": 1, "id": 7}
    return {"node": {"artifactType": kind, "artifact": artifact, "accessible": True, "deleted": False}, **more}


def test_links_lead_to_the_pages() -> None:
    document = _link(
        "FEATURE_VIEW",
        "v/x",
        upstream=[_link("FEATURE_GROUP", "g"), _link("FEATURE_GROUP", "gone")],
        downstream=[_link("TRAINING_DATASET", "t", downstream=[_link("MODEL", "m")])],
    )
    document["upstream"][1]["node"] |= {"deleted": True, "accessible": False}
    graph = read_links(document, "/console/1")
    pages = {node.name: node.href for relation in graph.relations for node in relation}
    assert pages == {
        "v/x": "/console/1/features/views/v%2Fx/1",
        "g": "/console/1/features/groups/7",
        "gone": "",
        "t": "",
        "m": "/console/1/models/m?version=1",
    }
    names = [(before.name, after.name) for before, after in graph.relations]
    assert names == [("g", "v/x"), ("gone", "v/x"), ("v/x", "t"), ("t", "m")]


@st.composite
def graphs(draw_value: st.DrawFn) -> Graph:
    """Graphs without cycles: an edge leads from a smaller number to a larger one."""
    nodes = [Node("FEATURE_GROUP", f"node {number}", 1) for number in range(draw_value(st.integers(1, 12)))]
    pairs = [(a, b) for position, a in enumerate(nodes) for b in nodes[position + 1 :]]
    chosen = draw_value(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return Graph(draw_value(st.sampled_from(nodes)), tuple(chosen))


def _boxes(drawing: Drawing) -> Iterator[tuple[int, int, int, int]]:
    for box in drawing.boxes:
        yield box.x, box.y, box.x + drawing.box_width, box.y + drawing.box_height


@given(graphs())
@settings(max_examples=200)
def test_a_lineage_graph_is_drawn_from_left_to_right_without_overlap(graph: Graph) -> None:
    drawing = draw(graph)
    places = {box.node: box for box in drawing.boxes}
    assert set(places) == {graph.center, *(node for relation in graph.relations for node in relation)}
    assert [box.node for box in drawing.boxes if box.is_center] == [graph.center]
    for before, after in graph.relations:
        assert places[before].x + drawing.box_width < places[after].x
    corners = list(_boxes(drawing))
    for position, (left, top, right, bottom) in enumerate(corners):
        assert left >= 0 and top >= 0 and right <= drawing.width and bottom <= drawing.height
        for other in corners[position + 1 :]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top


def test_a_cycle_ends() -> None:
    a, b = Node("JOB", "a", 1), Node("JOB", "b", 1)
    assert len(draw(Graph(a, ((a, b), (b, a)))).boxes) == 2


# -- logs


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r\x1b")), st.data())
def test_a_log_read_in_parts_is_the_log(text: str, data: st.DataObject) -> None:
    content = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=6)))
    with tempfile.TemporaryDirectory() as folder:
        place, found, offset = Path(folder) / "log", "", 0
        for end in [*cuts, len(content)]:
            place.write_bytes(content[:end])
            part = read_log(place, offset)
            assert part.offset <= end
            found, offset = found + part.text, part.offset
    assert found == text
    assert offset == len(content)


def test_of_a_long_log_the_end_is_shown_from_a_whole_line(tmp_path: Path) -> None:
    place = tmp_path / "log"
    place.write_text("".join(f"line {number}\n" for number in range(1000)))
    part = read_log(place, 0, limit=25)
    assert part.is_cut
    assert part.text == "line 998\nline 999\n"
    assert part.offset == place.stat().st_size


def test_a_log_written_anew_is_read_anew(tmp_path: Path) -> None:
    place = tmp_path / "log"
    place.write_text("new")
    assert read_log(place, 1000).text == "new"


def test_terminal_codes_are_left_out(tmp_path: Path) -> None:
    place = tmp_path / "log"
    place.write_bytes(b"\x1b[1;31mred\x1b[0m 10%\r 20%\r\ndone\n")
    assert read_log(place, 0).text == "red 10%\n 20%\ndone\n"


# -- text


@pytest.mark.parametrize(
    ("description", "unit"),
    [
        ("Normalised difference vegetation index (unit 1, -1 to 1); null at a gap", "1, -1 to 1"),
        ("Longitude of the pixel centre (degrees east, WGS84)", "degrees east, WGS84"),
        ("Precipitation (of the day) [mm]", "mm"),
        ("Time of the observation, UTC", ""),
        ("", ""),
    ],
)
def test_the_unit_stands_in_parentheses(description: str, unit: str) -> None:
    assert unit_of(description) == unit


def test_metrics_stand_side_by_side() -> None:
    versions = [{"metrics": {"rmse": 0.2, "note": "ok"}}, {"metrics": {"rmse": "0.1"}}, {"metrics": None}, {}]
    note, rmse = side_by_side(versions)
    assert (note.values, note.marks) == (("ok", None, None, None), ("", "", "", ""))
    assert (rmse.values, rmse.marks) == ((0.2, 0.1, None, None), ("highest", "lowest", "", ""))


@given(json_values)
def test_anything_can_be_written(value: Any) -> None:
    for write in (when, number, cell, duration, tone):
        assert isinstance(write(value), str)


def test_numbers_sizes_and_times_are_written_for_people() -> None:
    assert size(1536) == "1.5 KiB"
    assert size(2**41) == "2.0 TiB"
    assert duration(61_500) == "1 min 01 s"
    assert duration(7_260_000) == "2 h 01 min"
    assert number(1234567) == "1\u202f234\u202f567"
    assert number(0.123456789) == "0.123457"
    assert when("2026-01-31T10:30:00.000+01:00") == "2026-01-31 09:30:00"
    assert when(1_769_851_800_000) == "2026-01-31 09:30:00"
    assert cell(None) == "null"
    assert [tone(state) for state in ("Running", "RUNNING", "FAILED", "KILLED", None)] == [
        "good",
        "busy",
        "bad",
        "idle",
        "busy",
    ]


@given(st.text())
def test_everything_in_a_page_is_escaped(text: str) -> None:
    page = render("sign_in.html", {"target": text, "message": f"<script>{text}", "action": "/console/sign-in"})
    assert "<script" not in page
    assert f'value="{text}"' not in page or not set(text) & set("<>&\"'")


def test_a_name_that_a_page_forgot_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render("sign_in.html", {})


@pytest.mark.parametrize(
    ("printed", "page"),
    [
        ("/p/119/fs/67/fg/12", "/console/119/features/groups/12"),
        ("/p/119/fs/67/fv/my view/version/2", "/console/119/features/views/my%20view/2"),
        ("/p/1/models/m/3", "/console/1/models/m?version=3"),
        ("/p/1/deployments/4", "/console/1/deployments/4"),
        ("/p/1/jobs/named/a b/executions", "/console/1/jobs/a%20b"),
        ("/p/1", "/console/1"),
        ("/p/1/settings/git", "/console/1"),
        ("/p//evil.example", "/console"),
    ],
)
def test_the_addresses_that_the_client_prints_lead_to_pages(printed: str, page: str) -> None:
    assert console_path(printed) == page
