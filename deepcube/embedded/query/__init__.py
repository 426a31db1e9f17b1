"""Queries over feature groups: from the client's JSON to rows.

::

    compose.py     the client's document as the query that is run, by way of
    shape.py       is it a query document at all?
    resolve.py     a checked tree of groups, columns, joins and filters (predicates.py, literals.py)
    lookback.py    bounds on the rows of each group
    spine.py       the caller's own rows instead of the root
    sql.py         the tree -> SQL, for the offline store (DuckDB) and the online store (MySQL)
    tables.py      a group's rows: its Delta table now, as of a time, or what changed; external.py: other files
    pit.py         point-in-time matching: for each row the newest row of another group at or before its time
    frames.py      point-in-time queries, chunk by chunk
    execute.py     the tree -> record batches, by engine.py, one DuckDB for all
    plans.py       the signed form in which a query travels through the client; passes.py: who asks without one

Imports the core of :mod:`deepcube.embedded` and :mod:`deepcube.embedded.store`.
"""

from __future__ import annotations

__all__: list[str] = []
