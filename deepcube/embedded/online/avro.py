"""Rows on the Kafka wire: one Avro record each (Avro 1.11 binary encoding), without a header.

The client encodes with the schema that :func:`record_schema` gives it, except that values of complex types (arrays,
maps, structures) are encoded on their own first and are bytes within the record; the online store keeps those bytes.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
from fastavro import schemaless_reader, schemaless_writer
from fastavro.schema import parse_schema

from deepcube.embedded.online.columns import Column, Stored
from deepcube.embedded.online.errors import InvalidRecordError

Json = Any

_SIMPLE: list[tuple[Callable[[pa.DataType], bool], Json]] = [
    (pa.types.is_int64, "long"),
    (pa.types.is_integer, "int"),
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_float32, "float"),
    (pa.types.is_float64, "double"),
    (pa.types.is_string, "string"),
    (pa.types.is_binary, "bytes"),
    (pa.types.is_timestamp, {"type": "long", "logicalType": "timestamp-micros"}),
    (pa.types.is_date, {"type": "int", "logicalType": "date"}),
]


def avro_type(kind: pa.DataType, path: str) -> Json:
    """Return the Avro schema of an Arrow type.

    Parameters
    ----------
    kind : pa.DataType
        A type that :func:`deepcube.embedded.store.types.arrow_type` returns.
    path : str
        Name of the feature and of the fields down to here; gives structures their unique name.
    """
    if pa.types.is_decimal(kind):
        return {"type": "bytes", "logicalType": "decimal", "precision": kind.precision, "scale": kind.scale}
    if pa.types.is_list(kind):
        return {"type": "array", "items": ["null", avro_type(kind.value_type, path)]}
    if pa.types.is_map(kind):
        return {"type": "map", "values": ["null", avro_type(kind.item_type, path)]}
    if pa.types.is_struct(kind):
        fields = [{"name": f.name, "type": ["null", avro_type(f.type, f"{path}_{f.name}")]} for f in kind]
        return {"type": "record", "name": f"S_{path}", "fields": fields}
    return next(schema for matches, schema in _SIMPLE if matches(kind))


def is_complex(kind: pa.DataType) -> bool:
    """Tell whether values of a type are encoded on their own."""
    return pa.types.is_nested(kind)


def record_schema(name: str, namespace: str, columns: Sequence[Column]) -> Json:
    """Return the schema of a feature group's records.

    Parameters
    ----------
    name, namespace : str
        Name of the record and of its feature store.
    columns : sequence of Column
        The features, in order.
    """
    fields = [{"name": c.name, "type": ["null", avro_type(c.type, c.name)]} for c in columns]
    return {"type": "record", "name": name, "namespace": namespace, "fields": fields}


class RowCodec:
    """Reads the records of one schema.

    Times and dates are read as the integers they are encoded as; the client's logical types would cost an object each.

    Parameters
    ----------
    columns : sequence of Column
        The features, in the order of the schema.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)
        self.names = tuple(column.name for column in columns)
        fields = [{"name": c.name, "type": ["null", _plain(c.type)]} for c in columns]
        self._schema = parse_schema({"type": "record", "name": "row", "fields": fields})
        self._encoders = [(c.name, c.encode) for c in columns if c.encode is not None]

    def read(self, record: bytes) -> dict[str, Any]:
        """Decode a record.

        Returns
        -------
        dict
            Integers for times (microseconds) and dates (days), :class:`decimal.Decimal` for decimals, bytes for
            complex values.

        Raises
        ------
        InvalidRecordError
            If the bytes are not one whole record of the schema.
        """
        stream = io.BytesIO(record)
        try:
            row = schemaless_reader(stream, self._schema, None)
        except Exception as error:  # fastavro raises many kinds on malformed bytes
            raise InvalidRecordError(f"not a record of this schema: {type(error).__name__}: {error}") from None
        if stream.tell() != len(record):
            raise InvalidRecordError(f"{len(record) - stream.tell()} bytes follow the record")
        if not isinstance(row, dict):
            raise InvalidRecordError("not a record of this schema")
        return row

    def stored(self, record: bytes) -> dict[str, Stored]:
        """Decode a record into what the online store keeps.

        Raises
        ------
        InvalidRecordError
            If it is not a record of the schema, or a time lies outside the years 1 to 9999.
        """
        row = self.read(record)
        try:
            for name, encode in self._encoders:
                row[name] = encode(row[name])
        except (OverflowError, ValueError) as error:
            raise InvalidRecordError(f"feature {name!r} has a value out of range: {error}") from None
        return row


def _plain(kind: pa.DataType) -> Json:
    if is_complex(kind):
        return "bytes"
    if pa.types.is_timestamp(kind):
        return "long"
    return "int" if pa.types.is_date(kind) else avro_type(kind, "x")


class ValueCodec:
    """Reads and writes values of one complex type, as they stand as bytes in a record.

    Parameters
    ----------
    kind : pa.DataType
        Type of the value.
    """

    def __init__(self, kind: pa.DataType) -> None:
        self._schema = parse_schema(["null", avro_type(kind, "value")])

    def read(self, content: bytes) -> Any:
        """Decode a value.

        Raises
        ------
        InvalidRecordError
            If the bytes are not a value of the type.
        """
        try:
            return schemaless_reader(io.BytesIO(content), self._schema, None)
        except Exception as error:  # fastavro raises many kinds on malformed bytes
            raise InvalidRecordError(f"not a value of this type: {type(error).__name__}: {error}") from None

    def write(self, value: Any) -> bytes:
        """Encode a value."""
        stream = io.BytesIO()
        schemaless_writer(stream, self._schema, value)
        return stream.getvalue()
