"""Feature groups, feature views and training datasets: their metadata, their files, and the rules between them.

::

    groups.py  features.py  types.py  names.py   feature groups and their Delta tables
    commits.py  schemas.py  removal.py           what is written to a group, appended features, removing one
    connectors.py                                folders of the project that external groups are read from
    views.py  selection.py  serving.py           feature views, the queries that read them, lookups of vectors
    datasets.py  materialize.py  training_job.py training datasets and the jobs that write them
    transformations.py                           users' functions, which are kept and never run here

REST, Flight, the console and the built-in jobs all go through here; nothing in here knows of HTTP. Imports the core of
:mod:`deepcube.embedded` (platform, catalog, files, errors), :mod:`deepcube.embedded.query` and
:mod:`deepcube.embedded.runtime.builtin`; the online store is asked for only where a feature group has an online copy.
"""

from __future__ import annotations

__all__: list[str] = []
