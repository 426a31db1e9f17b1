"""How a feature is kept in the online store, and how it looks on the MySQL wire.

Values are kept so that comparing them in SQL is comparing them: times and dates as ISO text in UTC, decimals as text
with a collation of their own, everything else as SQLite has it. The name by which a column is declared says which MySQL
type its values have on the wire.

========== ============= ========================================= ==========
feature    declared      kept as                                   MySQL type
========== ============= ========================================= ==========
tinyint    TINYINT       integer                                   TINY
smallint   SMALLINT      integer                                   SHORT
int        INT           integer                                   LONG
bigint     BIGINT        integer                                   LONGLONG
boolean    BOOLEAN       0 or 1                                    TINY
float      FLOAT         real                                      FLOAT
double     DOUBLE        real                                      DOUBLE
string     VARCHAR       text                                      VAR_STRING
timestamp  DATETIME_TEXT ``2026-01-31 09:30:00[.123456]``, UTC     DATETIME
date       DATE_TEXT     ``2026-01-31``                            DATE
decimal    DECIMAL_TEXT  text, collation ``decimal``               NEWDECIMAL
binary     BLOB          bytes                                     BLOB
array, ... BLOB          bytes of the value's Avro encoding        BLOB
========== ============= ========================================= ==========
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa

from deepcube.embedded.store.types import arrow_type

#: What SQLite can hold in one column.
Stored = int | float | str | bytes | None

_EPOCH = datetime(1970, 1, 1)
_EPOCH_DAY = date(1970, 1, 1).toordinal()

_DECLARED: list[tuple[Callable[[pa.DataType], bool], str]] = [
    (pa.types.is_int8, "TINYINT"),
    (pa.types.is_int16, "SMALLINT"),
    (pa.types.is_int32, "INT"),
    (pa.types.is_int64, "BIGINT"),
    (pa.types.is_boolean, "BOOLEAN"),
    (pa.types.is_float32, "FLOAT"),
    (pa.types.is_float64, "DOUBLE"),
    (pa.types.is_string, "VARCHAR"),
    (pa.types.is_timestamp, "DATETIME_TEXT"),
    (pa.types.is_date, "DATE_TEXT"),
    (pa.types.is_decimal, "DECIMAL_TEXT COLLATE decimal"),
]


@dataclass(frozen=True)
class Column:
    """A feature in the online store.

    Attributes
    ----------
    name : str
        Name of the feature.
    type : pa.DataType
        Its Arrow type.
    primary : bool
        Whether it belongs to the primary key.
    default : object
        What rows from before the feature was appended have.
    """

    name: str
    type: pa.DataType
    primary: bool
    default: Any = None

    @property
    def declared(self) -> str:
        """Type by which SQLite knows the column."""
        return next((name for matches, name in _DECLARED if matches(self.type)), "BLOB")

    @property
    def encode(self) -> Callable[[Any], Stored] | None:
        """Function from a decoded Avro value to what is stored; None if they are the same."""
        if pa.types.is_timestamp(self.type):
            return time_text
        if pa.types.is_date(self.type):
            return date_text
        if pa.types.is_decimal(self.type):
            return decimal_text
        return int_of_bool if pa.types.is_boolean(self.type) else None


def columns_of(features: list[dict[str, Any]]) -> tuple[Column, ...]:
    """Return the columns of a feature group's features.

    Parameters
    ----------
    features : list of dict
        As in the group's body: ``name``, ``type``, ``primary``, ``defaultValue``.
    """
    return tuple(
        Column(f["name"], arrow_type(f["type"]), bool(f.get("primary")), f.get("defaultValue")) for f in features
    )


def quoted(name: str) -> str:
    """Return a name as an SQL identifier."""
    return "`" + name.replace("`", "``") + "`"


def time_text(microseconds: int | None) -> str | None:
    """Write microseconds since the epoch as text; whole seconds have no fraction, others six digits.

    Raises
    ------
    OverflowError
        If the year is not between 1 and 9999.
    """
    return None if microseconds is None else str(_EPOCH + timedelta(microseconds=microseconds))


def date_text(days: int | None) -> str | None:
    """Write days since the epoch as text."""
    return None if days is None else date.fromordinal(_EPOCH_DAY + days).isoformat()


def decimal_text(value: Decimal | None) -> str | None:
    """Write a decimal as text, without an exponent."""
    return None if value is None else format(value, "f")


def int_of_bool(value: bool | None) -> int | None:
    """Write a truth value as 0 or 1."""
    return None if value is None else int(value)


def compare_decimals(left: str, right: str) -> int:
    """Compare two decimals written as text: the collation ``decimal``; what is no number comes first."""
    try:
        a, b = Decimal(left), Decimal(right)
        return (a > b) - (a < b)
    except InvalidOperation:
        return (left > right) - (left < right)


def prepare_connection(connection: sqlite3.Connection) -> None:
    """Teach a connection what the declared columns need."""
    connection.create_collation("decimal", compare_decimals)


def sql_default(column: Column) -> str:
    """Return the ``DEFAULT`` clause for a feature that is appended with a default value; empty without one."""
    value = column.default
    if value is None:
        return ""
    text = str(value)
    if column.declared in ("TINYINT", "SMALLINT", "INT", "BIGINT"):
        return f" DEFAULT {int(text)}"
    if column.declared in ("FLOAT", "DOUBLE"):
        return f" DEFAULT {float(text)!r}"
    if column.declared == "BOOLEAN":
        return f" DEFAULT {int(text.lower() in ('true', '1'))}"
    return " DEFAULT '" + text.replace("'", "''") + "'" if column.declared != "BLOB" else ""
