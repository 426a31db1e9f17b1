"""A client's query document as the query that is run: resolved, bounded by lookbacks, anchored on a spine."""

from __future__ import annotations

from typing import Any

from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.query.lookback import bounded
from deepcube.embedded.query.resolve import Query, resolve
from deepcube.embedded.query.spine import anchored


def compose(platform: Platform, project: Project, document: dict[str, Any]) -> Query:
    """Check a query document and return the query to run.

    Parameters
    ----------
    platform, project : Platform, Project
        Who asks.
    document : dict
        The client's query, with its lookback and spine.

    Raises
    ------
    ApiError
        404 if a feature group is missing, 400 if the document is not a valid query.
    """
    query = resolve(platform, project, document)
    if document.get("lookback"):
        query = bounded(query, document["lookback"])
    if document.get("spine"):
        query = anchored(platform, project, query, document["spine"])
    return query
