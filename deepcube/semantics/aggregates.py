"""GROUP BY and the set functions of SPARQL 1.1 (section 18.5.1), in SQL where it is exact."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyoxigraph as ox
from rdflib import Variable
from rdflib.plugins.sparql.parserutils import CompValue

from deepcube.semantics.algebra import is_variable, variable_name
from deepcube.semantics.errors import UnboundedQueryError
from deepcube.semantics.expressions import Evaluator
from deepcube.semantics.relation import Column, Relation, from_terms, store
from deepcube.semantics.serialise import aggregate_text
from deepcube.semantics.session import Session, listed, quoted
from deepcube.semantics.terms import DATE_TIME, DOUBLE, INTEGER, Kind

_ZERO = ox.Literal(0)


def aggregated(evaluator: Evaluator, relation: Relation, keys: list[Any], aggregates: list[CompValue]) -> Relation:
    """Return one solution a group, with the keys and the values of the set functions.

    Parameters
    ----------
    evaluator : Evaluator
        Of the query.
    relation : Relation
        What is grouped.
    keys : list of Variable
        What it is grouped by; empty for one group of everything.
    aggregates : list of CompValue
        Set functions, as rdflib's algebra has them.
    """
    session = evaluator.session
    names = [variable_name(key) for key in keys if variable_name(key) in relation.columns]
    relation, arguments = _with_arguments(evaluator, relation, aggregates)
    engine = [item for item in aggregates if not _native(relation, item, arguments)]
    if engine:
        relation = store(session, relation)
    shown, columns = [quoted(name) for name in names], {name: relation.columns[name] for name in names}
    averages: list[tuple[str, str, str]] = []
    for item in aggregates:
        if item in engine:
            continue
        result = variable_name(item.res)
        sql, kind = _sql(session, relation, item, arguments, averages)
        shown += [f"{text} AS {quoted(name)}" for name, text in sql]
        columns |= {name: Column(kind, True) for name, _ in sql}
        columns[result] = Column(kind, True)
    size = quoted(session.name("_size"))
    group = f" GROUP BY {', '.join(map(quoted, names))}" if names else " HAVING count(*) > 0" if keys else ""
    inner = f"SELECT {', '.join([*shown, f'count(*) AS {size}'])} FROM ({relation.sql}){group}"
    table = session.name("groups")
    session.run(f"CREATE TEMP TABLE {table} AS {inner}")
    if not keys and _is_empty(session, table, size):
        return _of_nothing(session, aggregates)
    grouped = Relation(f"SELECT {listed([n for n in columns if _has(n, averages)])} FROM {table}", columns, stored=True)
    for result, total, count in averages:
        division = CompValue("MultiplicativeExpression", expr=Variable(total), op=["/"], other=[Variable(count)])
        grouped = evaluator.extended(grouped, result, division)
    for item in engine:
        grouped = _by_engine(evaluator, relation, grouped, names, item, arguments)
    hidden = {part for _, total, count in averages for part in (total, count)}
    kept = {name: column for name, column in grouped.columns.items() if name not in hidden}
    return Relation(f"SELECT {listed(list(kept))} FROM ({grouped.sql})", kept)


def _has(name: str, averages: list[tuple[str, str, str]]) -> bool:
    return name not in {result for result, _, _ in averages}


def _with_arguments(
    evaluator: Evaluator, relation: Relation, aggregates: list[CompValue]
) -> tuple[Relation, dict[Any, str]]:
    """Return the relation with a column for the argument of every set function, and the names of the columns."""
    arguments: dict[Any, str] = {}
    for item in aggregates:
        if item.vars == "*":
            continue
        if is_variable(item.vars):
            name = variable_name(item.vars)
            if name not in relation.columns:
                columns = dict(relation.columns) | {name: Column(evaluator.session.term, True)}
                relation = Relation(f"SELECT *, NULL::BIGINT AS {quoted(name)} FROM ({relation.sql})", columns)
        else:
            name = evaluator.session.name("_argument")
            relation = evaluator.extended(relation, name, item.vars)
        arguments[item.res] = name
    return relation, arguments


def _native(relation: Relation, item: CompValue, arguments: dict[Any, str]) -> bool:
    word = item.name.removeprefix("Aggregate_")
    if word in ("Count", "Sample"):
        return True
    kind = relation.columns[arguments[item.res]].kind
    if word in ("Sum", "Avg"):
        return kind in (DOUBLE, INTEGER)
    return word in ("Min", "Max") and kind in (DOUBLE, INTEGER, DATE_TIME)


def _sql(
    session: Session,
    relation: Relation,
    item: CompValue,
    arguments: dict[Any, str],
    averages: list[tuple[str, str, str]],
) -> tuple[list[tuple[str, str]], Kind]:
    """Return named SQL for a set function, and the kind of its result; unbound if a value of the group is an error."""
    word, result = item.name.removeprefix("Aggregate_"), variable_name(item.res)
    distinct = "DISTINCT " if item.distinct else ""
    if item.vars == "*":
        names = listed(list(relation.columns))
        return [(result, f"count(DISTINCT ({names}, 1))" if distinct else "count(*)")], INTEGER
    argument = arguments[item.res]
    column, kind = quoted(argument), relation.columns[argument].kind
    if word == "Count":
        return [(result, f"count({distinct}{column})")], INTEGER
    if word == "Sample":
        return [(result, f"any_value({column})")], kind
    if word in ("Min", "Max"):
        return [(result, f"{word.lower()}({column})")], kind
    whole = "::BIGINT" if kind is INTEGER else ""
    total = f"CASE WHEN count(*) = count({column}) THEN sum({distinct}{column}){whole} END"
    if word == "Sum":
        return [(result, total)], kind
    if kind is DOUBLE:
        return [(result, f"CASE WHEN count(*) = count({column}) THEN avg({distinct}{column}) END")], DOUBLE
    parts = session.name("_total"), session.name("_count")
    averages.append((result, *parts))
    return [(parts[0], total), (parts[1], f"count({distinct}{column})")], INTEGER


def _is_empty(session: Session, table: str, size: str) -> bool:
    row = session.run(f"SELECT {size} FROM {table}").fetchone()
    return row is None or row[0] == 0


def _of_nothing(session: Session, aggregates: list[CompValue]) -> Relation:
    """Return the one solution of an aggregate over no solutions at all."""
    values: list[ox.Literal | None] = []
    for item in aggregates:
        word = item.name.removeprefix("Aggregate_")
        values.append(_ZERO if word in ("Count", "Sum", "Avg") else ox.Literal("") if word == "GroupConcat" else None)
    return from_terms(session, [variable_name(item.res) for item in aggregates], [list(values)])


def _by_engine(
    evaluator: Evaluator,
    relation: Relation,
    grouped: Relation,
    names: list[str],
    item: CompValue,
    arguments: dict[Any, str],
) -> Relation:
    """Add a set function that has no exact SQL, computed by the vector engine."""
    session, argument, result = evaluator.session, arguments[item.res], variable_name(item.res)
    grouped = store(session, grouped)
    table = session.arrow(
        f"SELECT dense_rank() OVER (ORDER BY {listed(names)}) AS number, {listed([*names, argument])} "
        f"FROM ({relation.sql})"
        if names
        else f"SELECT 1::BIGINT AS number, {quoted(argument)} FROM ({relation.sql})"
    )
    if table.num_rows > session.limits.tuples:
        raise UnboundedQueryError(
            f"{aggregate_text(item)} over {table.num_rows:,} values has no columnar form; at most "
            f"{session.limits.tuples:,} are allowed. Restrict the query first.",
            table.num_rows,
        )
    kind = relation.columns[argument].kind
    held = (
        table.column(argument).to_pylist()
        if argument not in names
        else table.column(1 + names.index(argument)).to_pylist()
    )
    terms = iter(kind.decode([value for value in held if value is not None]))
    rows = " ".join(
        f"({number} {'UNDEF' if value is None else term_text_of(next(terms))})"
        for number, value in zip(table.column("number").to_pylist(), held, strict=True)
    )
    function = aggregate_text(CompValue(item.name, **{**dict(item), "vars": Variable("_x")}))
    query = f"SELECT ?_g ({function} AS ?_r) WHERE {{ VALUES (?_g ?_x) {{ {rows} }} }} GROUP BY ?_g"
    values = {int(s["_g"].value): s["_r"] for s in evaluator.vector.query(query)}
    first = table.group_by("number").aggregate([(name, "min") for name in names])
    numbers = first.column("number").to_pylist()
    ids = session.table.add_all([values.get(number) for number in numbers])
    data = {name: first.column(f"{name}_min") for name in names} | {result: pa.array(ids, pa.int64())}
    mapping = session.register(pa.table(data), "aggregate")
    on = " AND ".join(f"a.{quoted(n)} IS NOT DISTINCT FROM b.{quoted(n)}" for n in names) or "TRUE"
    columns = dict(grouped.columns) | {result: Column(session.term, True)}
    return Relation(f"SELECT a.*, b.{quoted(result)} FROM ({grouped.sql}) a LEFT JOIN {mapping} b ON {on}", columns)


def term_text_of(term: Any) -> str:
    """Return a term of the vector engine as it may stand in inline data; blank nodes as IRIs."""
    return f"<urn:deepcube:blank:{term.value}>" if isinstance(term, ox.BlankNode) else str(term)


def ranks(evaluator: Evaluator, terms: list[Any]) -> list[int]:
    """Return the place of each distinct term in SPARQL's order (SPARQL 1.1, section 15.1)."""
    rows = " ".join(f"({i} {term_text_of(term)})" for i, term in enumerate(terms))
    query = f"SELECT ?i WHERE {{ VALUES (?i ?t) {{ {rows} }} }} ORDER BY ?t"
    result = [0] * len(terms)
    for place, solution in enumerate(evaluator.vector.query(query)):
        result[int(solution["i"].value)] = place
    return result
