"""Feature groups, feature views and training datasets: their metadata, their files, and the rules between them.

REST, Flight, the console and the built-in jobs all go through here; nothing in here knows of HTTP. Imports the core of
:mod:`deepcube.embedded` (platform, catalog, files, errors) and :mod:`deepcube.embedded.query`; the online store and the
job runner are asked for only where a feature group has an online copy or a call starts a job.
"""

from __future__ import annotations

__all__: list[str] = []
