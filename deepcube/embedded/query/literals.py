"""Values of filters. The client sends every value as text; here it becomes a value of the feature's type, or an error.

Nothing of a request reaches SQL but through :func:`offline` and :func:`online`, which write a checked value.
"""

from __future__ import annotations

import ast
import math
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from deepcube.embedded.errors import ApiError, bad_request
from deepcube.embedded.store.types import is_complex

Value = bool | int | float | Decimal | str | bytes | date | datetime

_INTEGERS = ("tinyint", "smallint", "int", "integer", "bigint")
_EPOCH = datetime(1970, 1, 1)


def parse(text: Any, kind: str, feature: str) -> Value:
    """Return the value that a filter compares a feature with.

    Parameters
    ----------
    text : object
        Value as the client sends it: text, or an element of a JSON list.
    kind : str
        Type of the feature.
    feature : str
        Name of the feature, for the message.

    Raises
    ------
    ApiError
        400 if the value is not of that type.
    """
    kind = kind.lower()
    try:
        if is_complex(kind):
            raise ValueError("arrays, maps and structures can only be compared with None")
        return _parse(text, kind)
    except (ValueError, InvalidOperation, SyntaxError, OverflowError) as error:
        raise _wrong(text, kind, feature, str(error)) from None


def _wrong(text: Any, kind: str, feature: str, reason: str) -> ApiError:
    return bad_request(f"cannot compare feature {feature!r} of type {kind} with {text!r}: {reason}")


def _parse(text: Any, kind: str) -> Value:
    plain = str(text).strip()
    if kind == "string":
        return str(text)
    if kind == "boolean":
        return _boolean(plain)
    if kind in _INTEGERS or kind.startswith("decimal") or kind in ("float", "double"):
        return _number(plain)
    if kind in ("timestamp", "date"):
        return _moment(plain, kind)
    if kind == "binary":
        value = ast.literal_eval(plain) if plain.startswith(("b'", 'b"')) else str(text).encode()
        if isinstance(value, bytes):
            return value
    raise ValueError("no such comparison")


def _boolean(plain: str) -> bool:
    known = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
    if plain.lower() not in known:
        raise ValueError("expected True or False")
    return known[plain.lower()]


def _number(plain: str) -> Value:
    if plain in ("True", "False"):
        return int(plain == "True")
    if re.fullmatch(r"[+-]?\d+", plain):
        return int(plain)
    value = Decimal(plain)
    if value.is_finite():
        # A float is written with as many digits as tell it apart, so its text is exact.
        return float(plain) if re.search(r"[eE]", plain) else value
    return float(plain)


def _moment(plain: str, kind: str) -> Value:
    """Read a time: milliseconds since the epoch, or ISO 8601; a time with a zone is turned into UTC."""
    if re.fullmatch(r"[+-]?\d+", plain):
        return _EPOCH + timedelta(milliseconds=int(plain))
    if kind == "date" and re.fullmatch(r"\d{4}-\d{2}-\d{2}", plain):
        return date.fromisoformat(plain)
    moment = datetime.fromisoformat(plain)
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def offline(value: Value) -> str:
    """Write a value as a literal of DuckDB."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return f"CAST('{value!r}' AS DOUBLE)"
    if isinstance(value, int | Decimal):
        return f"{value:f}" if isinstance(value, Decimal) else str(value)
    if isinstance(value, bytes):
        return "CAST('" + "".join(f"\\x{byte:02X}" for byte in value) + "' AS BLOB)"
    if isinstance(value, datetime):
        return f"CAST('{value.isoformat(sep=' ')}' AS TIMESTAMP)"
    if isinstance(value, date):
        return f"CAST('{value.isoformat()}' AS DATE)"
    if "\0" in value:
        raise bad_request("a filter cannot hold the character NUL; compare with text that has none")
    return "'" + value.replace("'", "''") + "'"


def online(value: Value) -> str:
    """Write a value as a literal of MySQL, as it passes through the client's SQLAlchemy.

    There a colon before a word would be taken for a parameter; a backslash before it is dropped by both.
    """
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        if not math.isfinite(value):
            raise bad_request(f"the online store has no value {value!r}; compare with a finite number")
        return repr(value)
    if isinstance(value, int | Decimal):
        return f"{value:f}" if isinstance(value, Decimal) else str(value)
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    if isinstance(value, datetime):
        return f"'{value.isoformat(sep=' ')}'"
    if isinstance(value, date):
        return f"'{value.isoformat()}'"
    escaped = value.replace("\\", "\\\\").replace("'", "''").replace(":", "\\:").replace("\0", "\\0")
    return f"'{escaped}'"
