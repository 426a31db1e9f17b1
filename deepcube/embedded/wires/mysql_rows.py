"""Rows of a result on the MySQL wire, many at a time: columns are written as text by Arrow, not value by value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deepcube.embedded.wires import mysql_protocol as mysql

_MANY = 48  # fewer rows are quicker one by one
_LONGEST = 250  # bytes of a value whose length fits one byte
_LENGTHS = pa.Array.from_buffers(pa.binary(1), _LONGEST + 1, [None, pa.py_buffer(bytes(range(_LONGEST + 1)))])
_TYPES = {
    **dict.fromkeys(("TINYINT", "BOOLEAN", "SMALLINT", "INT", "BIGINT"), pa.int64()),
    **dict.fromkeys(("FLOAT", "DOUBLE"), pa.float64()),
    **dict.fromkeys(("VARCHAR", "DATETIME_TEXT", "DATE_TEXT", "DECIMAL_TEXT"), pa.string()),
    "BLOB": pa.binary(),
}


def pack(sequence: int, rows: Sequence[tuple[Any, ...]], declared: Sequence[str]) -> tuple[bytes, int]:
    """Put rows into packets.

    Parameters
    ----------
    sequence : int
        Number of the first packet.
    rows : sequence of tuple
        Values as SQLite has them.
    declared : sequence of str
        Declared type of each column, see :mod:`deepcube.embedded.online.columns`; empty for an expression.

    Returns
    -------
    (bytes, int)
        The packets, and the next sequence number.
    """
    if len(rows) >= _MANY and all(declared):
        try:
            return _together(sequence, rows, declared), sequence + len(rows)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            pass  # a long value, or one that is not of its column's type
    return mysql.packets(sequence, map(mysql.row, rows))


def _together(sequence: int, rows: Sequence[tuple[Any, ...]], declared: Sequence[str]) -> bytes:
    """Write all rows at once.

    Raises
    ------
    pa.ArrowException, TypeError, ValueError, OverflowError
        If a value is longer than 250 bytes or not of its column's type.
    """
    parts = [
        part
        for values, name in zip(zip(*rows, strict=True), declared, strict=True)
        for part in _column(pa.array(values, _TYPES[name]))
    ]
    nothing = pa.scalar(b"")
    content = pc.binary_join_element_wise(*parts, nothing)
    heads = np.empty((len(rows), 4), np.uint8)
    heads[:, :3] = np.asarray(pc.binary_length(content), "<u4")[:, None].view(np.uint8)[:, :3]
    heads[:, 3] = np.arange(sequence, sequence + len(rows)) & 0xFF
    head = pa.Array.from_buffers(pa.binary(4), len(rows), [None, pa.py_buffer(heads)]).cast(pa.binary())
    packets = pc.binary_join_element_wise(head, content, nothing)
    _, offsets, text = packets.buffers()
    return bytes(text[: np.frombuffer(offsets, "<i4")[len(rows)]])


def _column(values: pa.Array) -> tuple[pa.Array, ...]:
    """Return, for each value, its length and its text."""
    text = values if pa.types.is_binary(values.type) else values.cast(pa.string()).cast(pa.binary())
    length = _LENGTHS.take(pc.binary_length(text)).cast(pa.binary())
    if not text.null_count:
        return length, text
    return pc.fill_null(length, b"\xfb"), pc.fill_null(text, b"")
