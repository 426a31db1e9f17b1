"""The console: pages of the embedded server in which a person sees and runs what the platform holds.

:func:`console_routes` is mounted beside the REST API and reads only through it, with the API key of the session;
:func:`one_time_url` signs a browser of the home folder's owner in. Server-rendered HTML with a few lines of script and
no build step. May import the core of :mod:`deepcube.embedded` and, for rows and logs, its domain packages.
"""

from __future__ import annotations

from deepcube.embedded.console.session import one_time_url
from deepcube.embedded.console.site import console_routes

__all__ = ["console_routes", "one_time_url"]
