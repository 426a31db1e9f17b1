"""Statements as MySQL clients write them, made into SQLite's: literals become parameters, so that few shapes remain.

A client puts every value into the text of its statement. Taken out again, all look-ups of a feature view have the same
text, and what is known of it (types, columns, whether it is a look-up by key) is found out once. It is also what makes
a value safe: it never reaches SQLite as part of a statement.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from deepcube.embedded.online.errors import QueryError

MAX_LITERALS = 200_000

Literal = int | float | str | bytes

_TOKEN = re.compile(
    r"""
    (?P<name>`(?:[^`]|``)*`)
  | (?P<binary>_binary\s*)?'(?P<single>(?:[^'\\]|\\.|'')*)'
  | "(?P<double>(?:[^"\\]|\\.|"")*)"
  | (?P<hex>\b[xX]'(?P<digits>[0-9a-fA-F]*)')
  | (?P<word>[A-Za-z_$@][\w$@]*)
  | (?P<number>(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?)
  | (?P<comment>/\*.*?\*/|--[^\n]*|\#[^\n]*)
  | (?P<stray>['"?\\;\x00])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "0": "\0", "Z": "\x1a", "b": "\b", "%": "\\%", "_": "\\_"}
_ROW = r"\(\s*(?:\?|NULL)(?:\s*,\s*(?:\?|NULL))*\s*\)"
_IN = re.compile(rf"\bIN\s*\(\s*(?P<rows>{_ROW}(?:\s*,\s*{_ROW})*)\s*\)|\bIN\s*(?P<row>{_ROW})", re.IGNORECASE)
# A list of keys that needs nothing but other brackets to be JSON: whole numbers, and text without anything special.
_KEY = r"(?:-?(?:0|[1-9]\d{0,17})|'[^',\\\"()\x00-\x1f]*')"
_KEYS = re.compile(
    rf"(?P<before> WHERE [^'\"?]*? IN )\((?P<rows>\({_KEY}(?:, ?{_KEY})*\)(?:, ?\({_KEY}(?:, ?{_KEY})*\))*)\)"
)
_ONE_COLUMN = "(SELECT value FROM json_each(?))"
_BRACKETS = str.maketrans({"(": "[", ")": "]", "'": '"'})
_NO_BRACKETS = str.maketrans({"(": None, ")": None, "'": '"'})


@dataclass(frozen=True)
class Statement:
    """A statement apart from its values.

    Attributes
    ----------
    text : str
        SQL with ``?`` for every value.
    parameters : list
        The values, in order.
    """

    text: str
    parameters: list[Any]


def parse(sql: str) -> Statement:
    """Take the literals out of a statement.

    A list after ``IN`` becomes one parameter, a JSON array, however long it is.

    Raises
    ------
    QueryError
        If a literal is not closed, or there are several statements.
    """
    sql = sql.strip().rstrip(";")
    start = sql.find(" WHERE ")
    # The text before WHERE names columns and tables and stays as it is, unless it may hold values too.
    if start < 0 or "'" in (head := sql[:start]) or '"' in head or "#" in head or "-- " in head or "/*" in head:
        start, head = 0, ""
    elif (keys := _KEYS.fullmatch(sql, start)) is not None:
        return _key_list(head + keys["before"], keys["rows"])
    tail, literals = _take_out(sql[start:])
    if len(literals) > 1:
        tail, parameters = _fold_lists(tail, literals)
    else:
        parameters = list(literals)
    return Statement(head + tail, parameters)


def _key_list(before: str, rows: str) -> Statement:
    """Return a look-up of many keys, without looking at each of them."""
    width = rows[: rows.index(")")].count(",") + 1
    if width == 1:
        return Statement(before + _ONE_COLUMN, ["[" + rows.translate(_NO_BRACKETS) + "]"])
    return Statement(before + _columns(width), ["[" + rows.translate(_BRACKETS) + "]"])


def _columns(width: int) -> str:
    columns = ", ".join(f"json_extract(value, '$[{i}]')" for i in range(width))
    return f"(SELECT {columns} FROM json_each(?))"


def _take_out(text: str) -> tuple[str, list[Literal]]:
    literals: list[Literal] = []

    def replace(match: re.Match[str]) -> str:
        kind = match.lastgroup
        if kind in ("word", "name"):
            return match[0]
        if kind == "number":
            literals.append(_number(match[0]))
        elif kind == "comment":
            return " "
        elif kind == "stray":
            raise QueryError(f"unexpected {match[0]!r} in a statement")
        elif match["digits"] is not None:
            literals.append(bytes.fromhex(_even(match["digits"])))
        else:
            literals.append(_text(match))
        return "?"

    replaced = _TOKEN.sub(replace, text)
    if len(literals) > MAX_LITERALS:
        raise QueryError(f"statement has {len(literals)} values; at most {MAX_LITERALS} are taken, ask in parts")
    return replaced, literals


def _even(digits: str) -> str:
    return digits if len(digits) % 2 == 0 else "0" + digits


def _number(text: str) -> Literal:
    if text.isdigit():
        value = int(text)
        return value if value < 2**63 else float(value)
    # More digits than a double keeps: left to the column's type, exact for a decimal.
    return float(text) if len(text) <= 16 or "e" in text.lower() else text


def _text(match: re.Match[str]) -> Literal:
    quote = "'" if match["single"] is not None else '"'
    text = match["single"] if match["single"] is not None else match["double"]
    if quote in text or "\\" in text:
        text = _ESCAPE.sub(lambda m: _ESCAPES.get(m[1], m[1]), text.replace(quote * 2, quote))
    if match["binary"]:
        return text.encode("utf-8", "surrogateescape")
    try:
        text.encode()
    except UnicodeEncodeError:  # not UTF-8, so bytes without the prefix
        return text.encode("utf-8", "surrogateescape")
    return text


def _fold_lists(text: str, literals: list[Literal]) -> tuple[str, list[Any]]:
    parameters: list[Any] = []
    parts: list[str] = []
    position = used = 0
    for match in _IN.finditer(text):
        before = text[position : match.start()]
        skipped = before.count("?")
        parameters += literals[used : used + skipped]
        used += skipped
        values = literals[used : used + match[0].count("?")]
        used += len(values)
        folded, parameter = _fold(match, values)
        parts += [before, folded]
        parameters += parameter
        position = match.end()
    parameters += literals[used:]
    return "".join(parts) + text[position:], parameters


def _fold(match: re.Match[str], values: list[Literal]) -> tuple[str, list[Any]]:
    width = 1
    if match["rows"] is not None:
        width = match["rows"][: match["rows"].index(")")].count(",") + 1
    if any(_no_json(value) for value in values) or "NULL" in match[0].upper():
        if match["rows"] is None or width == 1:
            return match[0], values
        return "IN (VALUES " + match["rows"] + ")", values
    if width == 1:
        return "IN " + _ONE_COLUMN, [json.dumps(values)]
    rows = [values[i : i + width] for i in range(0, len(values), width)]
    return "IN " + _columns(width), [json.dumps(rows)]


def _no_json(value: Literal) -> bool:
    """Tell whether SQLite's JSON functions cannot carry a value: bytes, and texts that they end at a NUL."""
    return isinstance(value, bytes) or (isinstance(value, str) and "\0" in value)
