"""Feature types: how Hopsworks names them, and what they are in Arrow, in the online store and in JSON filters.

The names are those of Hive, as the client writes them: ``bigint``, ``array<float>``, ``struct<a:int,b:string>``.
"""

from __future__ import annotations

import re
from functools import lru_cache

import pyarrow as pa

from deepcube.embedded.errors import ApiError, bad_request

_SIMPLE: dict[str, pa.DataType] = {
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "string": pa.string(),
    "timestamp": pa.timestamp("us"),
    "date": pa.date32(),
    "binary": pa.binary(),
}
_ONLINE = {
    "tinyint": "TINYINT",
    "smallint": "SMALLINT",
    "int": "INT",
    "integer": "INT",
    "bigint": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "boolean": "TINYINT",
    "string": "VARCHAR(100)",
    "timestamp": "TIMESTAMP",
    "date": "DATE",
    "binary": "VARBINARY(100)",
}
_COMPLEX = ("array<", "map<", "struct<")
_DECIMAL = re.compile(r"decimal(?:\((\d+)(?:,(\d+))?\))?")


@lru_cache(maxsize=4096)
def arrow_type(name: str) -> pa.DataType:
    """Return the Arrow type of a feature type.

    Parameters
    ----------
    name : str
        Type as Hopsworks names it; case and blanks do not matter.

    Raises
    ------
    ApiError
        400 if there is no such type.
    """
    plain = re.sub(r"\s", "", name).lower()
    found, rest = _parse(plain, name)
    if rest:
        raise _unknown(name)
    return found


def online_type(name: str) -> str:
    """Return the type that a feature has in the online store when its owner names none.

    Arrays, maps and structures are kept as Avro bytes, as on a cluster.
    """
    plain = re.sub(r"\s", "", name).lower()
    if plain.startswith("decimal"):
        return plain.upper()
    return _ONLINE.get(plain, "VARBINARY(100)")


def is_complex(name: str) -> bool:
    """Tell whether a feature type is an array, a map or a structure."""
    return name.strip().lower().startswith(_COMPLEX)


def hive_type(arrow: pa.DataType) -> str:
    """Return the feature type of an Arrow type.

    Raises
    ------
    ApiError
        400 if Hopsworks has no such type.
    """
    if pa.types.is_list(arrow) or pa.types.is_large_list(arrow) or pa.types.is_fixed_size_list(arrow):
        return f"array<{hive_type(arrow.value_type)}>"
    if pa.types.is_map(arrow):
        return f"map<{hive_type(arrow.key_type)},{hive_type(arrow.item_type)}>"
    if pa.types.is_struct(arrow):
        return "struct<" + ",".join(f"{field.name}:{hive_type(field.type)}" for field in arrow) + ">"
    if pa.types.is_timestamp(arrow):
        return "timestamp"
    if pa.types.is_decimal(arrow):
        return f"decimal({arrow.precision},{arrow.scale})"
    if pa.types.is_large_string(arrow) or pa.types.is_string_view(arrow):
        return "string"
    for name, known in _SIMPLE.items():
        if arrow == known:
            return name
    raise bad_request(f"Arrow type {arrow} has no feature type; cast the column to a type that Hopsworks knows")


def _unknown(name: str) -> ApiError:
    known = ", ".join(sorted(set(_SIMPLE) - {"integer"}))
    return bad_request(
        f"unknown feature type {name!r}; there are {known}, decimal(p,s), array<t>, map<k,v>, struct<name:t>"
    )


def _parse(text: str, whole: str) -> tuple[pa.DataType, str]:
    """Read one type from the start of a text; return it with what is left."""
    if text.startswith("array<"):
        element, rest = _parse(text[6:], whole)
        return pa.list_(element), _expect(rest, ">", whole)
    if text.startswith("map<"):
        key, rest = _parse(text[4:], whole)
        value, rest = _parse(_expect(rest, ",", whole), whole)
        return pa.map_(key, value), _expect(rest, ">", whole)
    if text.startswith("struct<"):
        return _parse_struct(text[7:], whole)
    decimal = _DECIMAL.match(text)
    if decimal:
        precision, scale = int(decimal[1] or 10), int(decimal[2] or 0)
        if not 1 <= precision <= 38 or scale > precision:
            raise _unknown(whole)
        return pa.decimal128(precision, scale), text[decimal.end() :]
    simple = re.match(r"[a-z]+", text)
    if simple is None or simple[0] not in _SIMPLE:
        raise _unknown(whole)
    return _SIMPLE[simple[0]], text[simple.end() :]


def _parse_struct(text: str, whole: str) -> tuple[pa.DataType, str]:
    fields = []
    while True:
        name = re.match(r"[^:<>,]+", text)
        if name is None:
            raise _unknown(whole)
        kind, text = _parse(_expect(text[name.end() :], ":", whole), whole)
        fields.append(pa.field(name[0], kind))
        if not text.startswith(","):
            return pa.struct(fields), _expect(text, ">", whole)
        text = text[1:]


def _expect(text: str, mark: str, whole: str) -> str:
    if not text.startswith(mark):
        raise _unknown(whole)
    return text[len(mark) :]
