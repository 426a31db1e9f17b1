"""Queries over feature groups: from the client's JSON to rows.

::

    resolve.py     the client's document -> a checked tree of groups, columns, joins and filters
    literals.py    values of filters, by type
    sql.py         the tree -> SQL, for the offline store (DuckDB) and the online store (MySQL)
    tables.py      a group's Delta table, now, as of a time, or what changed since a time
    pit.py         point-in-time matching: for each row the newest row of another group at or before its time
    execute.py     the tree -> record batches
    plans.py       the signed form in which a query travels through the client to the query service

Imports the core of :mod:`deepcube.embedded` and :mod:`deepcube.embedded.store`.
"""

from __future__ import annotations

__all__: list[str] = []
