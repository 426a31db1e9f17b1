"""The online feature store: the newest row of each key, served in well under a millisecond, and the way in and out.

Rows come in as records on a Kafka topic (:mod:`.records`, :mod:`.ingest`), are kept in SQLite (:mod:`.database`,
:mod:`.store`), are read by SQL or by key, and reach the offline table through a log. The wires that speak to clients
are in :mod:`deepcube.embedded.wires`. Imports the core of :mod:`deepcube.embedded` and :mod:`deepcube.embedded.store`.
"""

from __future__ import annotations

from deepcube.embedded.online.errors import InvalidRecordError, OnlineError, ProtocolError, QueryError
from deepcube.embedded.online.store import OnlineStore

__all__ = ["InvalidRecordError", "OnlineError", "OnlineStore", "ProtocolError", "QueryError"]
