"""Rows written together are the rows written one by one."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from deepcube.embedded.wires import mysql_protocol as mysql
from deepcube.embedded.wires.mysql_rows import _MANY, pack

_VALUES = {
    "BIGINT": st.integers(-(2**63), 2**63 - 1),
    "DOUBLE": st.floats(allow_nan=False),
    "VARCHAR": st.text(max_size=40) | st.text("é", min_size=120, max_size=130),
    "BLOB": st.binary(max_size=30),
}


def _read(content: bytes, declared: list[str]) -> list[tuple[int, list[object]]]:
    """Read packets of rows whose values are of at most 250 bytes, or of up to 65535 with three bytes of length."""
    rows = []
    at = 0
    while at < len(content):
        length, sequence = int.from_bytes(content[at : at + 3], "little"), content[at + 3]
        payload = content[at + 4 : at + 4 + length]
        assert len(payload) == length
        at += 4 + length
        values: list[object] = []
        place = 0
        for name in declared:
            if payload[place] == 0xFB:
                values.append(None)
                place += 1
                continue
            size, place = payload[place], place + 1
            if size == 0xFC:
                (size,) = struct.unpack_from("<H", payload, place)
                place += 2
            text, place = payload[place : place + size], place + size
            values.append(float(text) if name == "DOUBLE" else text)
        assert place == length
        rows.append((sequence, values))
    return rows


@st.composite
def _tables(draw: st.DrawFn) -> tuple[list[str], list[tuple[object, ...]]]:
    declared = draw(st.lists(st.sampled_from(sorted(_VALUES)), min_size=1, max_size=4))
    kinds = draw(st.lists(st.tuples(*(st.none() | _VALUES[name] for name in declared)), min_size=1, max_size=8))
    return declared, [kinds[i % len(kinds)] for i in range(draw(st.integers(1, 3 * _MANY)))]


@settings(max_examples=150, deadline=None)
@given(table=_tables(), first=st.integers(0, 600))
def test_rows_together_are_the_rows_one_by_one(table: tuple[list[str], list[tuple[object, ...]]], first: int) -> None:
    declared, rows = table
    content, following = pack(first, rows, declared)
    plain, expected = mysql.packets(first, map(mysql.row, rows))
    assert following == expected
    assert _read(content, declared) == _read(plain, declared)


def test_a_value_of_another_type_than_its_column_is_written_as_it_is() -> None:
    rows: list[tuple[object, ...]] = [(i,) for i in range(_MANY)] + [("many",)]
    assert pack(1, rows, ["BIGINT"]) == mysql.packets(1, map(mysql.row, rows))
