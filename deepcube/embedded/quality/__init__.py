"""Quality and reuse: what is known *about* the entities of a project, beside their data.

::

    numbers.py, profile.py       descriptive statistics of a table, by numpy and DuckDB
    statistics.py                statistics kept per artifact and window, and found again
    compute.py                   ... computed by the server after a commit, when asked for, and by a job
    dataset_statistics.py        ... of training datasets that lie in files
    expectations.py, validation.py   Great Expectations suites, reports, histories
    monitoring.py, windows.py    feature monitoring: what to look at, and which rows that is
    comparison.py, distances.py  ... how far a feature has moved from a reference
    results.py                   ... its runs and what they found
    tagging.py, search.py        tags, tag schemas, keywords; search over all that is said
    provenance.py                what was made from what, in both directions
    activities.py                who did what, and when
    projects.py                  projects, members, shares; the roles themselves are in embedded/access.py
    hooks.py                     what the store calls here when groups, views and datasets are made or written to
    artifacts.py, filters.py, checks.py   paths, the client's filters, and documents, read and checked

Domain logic only: the REST calls are in :mod:`deepcube.embedded.api`. Imports the core of :mod:`deepcube.embedded`, its
``store``, ``query`` and ``runtime``, none of which imports this package.
"""

from __future__ import annotations

__all__: list[str] = []
