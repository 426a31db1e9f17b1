"""Statements of MySQL clients: every value is taken out as it was put in, and nothing else becomes SQL."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pymysql.converters import escape_bytes_prefixed, escape_item

from deepcube.embedded.online.errors import QueryError
from deepcube.embedded.online.statements import parse

texts = st.text(st.characters(codec="utf-8"), max_size=30)
integers = st.integers(0, 2**63 - 1)
floats = st.floats(min_value=0, allow_infinity=False, allow_nan=False)
values = st.one_of(texts, integers, st.binary(max_size=30), floats)


def literal(value):
    """Write a value as the client's driver does (pymysql, as the driver of the asynchronous one)."""
    escaped = escape_bytes_prefixed(value) if isinstance(value, bytes) else escape_item(value, "utf8mb4")
    # The driver sends bytes as they are; the wire decodes them as UTF-8, keeping what is none.
    return escaped.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


def evaluated(sql):
    statement = parse(sql)
    return sqlite3.connect(":memory:").execute(statement.text, statement.parameters).fetchall()


@given(st.lists(values, min_size=1, max_size=8))
def test_values_are_taken_out_as_they_were_put_in(given_values):
    assert evaluated("SELECT " + ", ".join(map(literal, given_values))) == [tuple(given_values)]


@given(st.lists(values, min_size=1, max_size=5))
def test_statements_that_differ_in_values_only_have_one_text(given_values):
    where = " AND ".join(f"`c{i}` = {literal(value)}" for i, value in enumerate(given_values))
    expected = " AND ".join(f"`c{i}` = ?" for i in range(len(given_values)))
    statement = parse(f"SELECT `a1` AS `x` FROM `p`.`g_1` AS `fg0` WHERE {where}")
    assert statement.text == f"SELECT `a1` AS `x` FROM `p`.`g_1` AS `fg0` WHERE {expected}"
    assert statement.parameters == given_values


def table(keys):
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (a, b, PRIMARY KEY (a, b)) WITHOUT ROWID")
    connection.executemany("INSERT OR IGNORE INTO t VALUES (?, ?)", keys)
    return connection


keys = st.tuples(st.one_of(st.integers(-9, 9), texts), st.one_of(st.integers(-9, 9), st.binary(max_size=3), texts))


@given(st.lists(keys, min_size=1, max_size=12), st.lists(keys, min_size=1, max_size=12))
def test_a_list_of_keys_finds_what_single_keys_find(rows, wanted):
    connection = table(rows)
    lists = ", ".join(f"({literal(a)}, {literal(b)})" for a, b in wanted)
    statement = parse(f"SELECT a, b FROM t WHERE (a, b) IN ({lists})")
    found = connection.execute(statement.text, statement.parameters).fetchall()
    single = {
        row for key in wanted for row in connection.execute("SELECT a, b FROM t WHERE a = ? AND b = ?", key).fetchall()
    }
    assert sorted(found, key=repr) == sorted(single, key=repr)


@given(st.lists(st.one_of(st.integers(-(2**63) + 1, 2**63 - 1), texts), min_size=1, max_size=12))
@example([0, "\x00"])
def test_a_list_of_single_keys(wanted):
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (a)")
    connection.executemany("INSERT INTO t VALUES (?)", [(value,) for value in wanted])
    statement = parse(f"SELECT a FROM t WHERE (a) IN ({', '.join(f'({literal(value)})' for value in wanted)})")
    found = connection.execute(statement.text, statement.parameters).fetchall()
    assert sorted(found, key=repr) == sorted([(value,) for value in wanted], key=repr)


def test_keys_with_null_match_nothing():
    connection = table([(1, 2), (3, 4)])
    statement = parse("SELECT a FROM t WHERE (a, b) IN ((1, 2), (3, NULL))")
    assert connection.execute(statement.text, statement.parameters).fetchall() == [(1,)]
    statement = parse("SELECT a FROM t WHERE (a) IN ((NULL), (3))")
    assert connection.execute(statement.text, statement.parameters).fetchall() == [(3,)]


def test_bytes_without_the_prefix_are_bytes():
    assert evaluated("SELECT '" + b"\xff\x01".decode("utf-8", "surrogateescape") + "'") == [(b"\xff\x01",)]


def test_lists_of_any_length_have_one_text():
    texts_of_lists = {
        parse(f"SELECT a FROM t WHERE (a, b) IN ({', '.join(f'({i}, {i})' for i in range(n))})").text
        for n in (1, 2, 500)
    }
    assert len(texts_of_lists) == 1


@given(st.text(max_size=80))
def test_any_text_is_parsed_or_refused(text):
    try:
        statement = parse("SELECT " + text)
    except QueryError:
        return
    assert isinstance(statement.text, str)


@pytest.mark.parametrize("sql", ["SELECT 'open", "SELECT 1; SELECT 2", 'SELECT "open', "SELECT ?", "SELECT '\\'"])
def test_what_is_not_one_statement_is_refused(sql):
    with pytest.raises(QueryError):
        parse(sql)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 'it''s', 'a\\nb', 'c\\\\d', 'e%'", ("it's", "a\nb", "c\\d", "e%")),
        ("SELECT X'00ff', x'F'", (b"\x00\xff", b"\x0f")),
        ("SELECT 1.5, 2e3, .5, 18446744073709551615", (1.5, 2000.0, 0.5, 18446744073709551615.0)),
        ("SELECT 1 /* x'y */, 2 -- 'z", (1, 2)),
        ('SELECT "double ""quoted"" text"', ('double "quoted" text',)),
        ("SELECT 12345678901234567890.12345678901234567890", ("12345678901234567890.12345678901234567890",)),
    ],
)
def test_literals_of_mysql(sql, expected):
    assert evaluated(sql) == [expected]
