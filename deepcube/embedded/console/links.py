"""The addresses that the client prints ("explore it at ..."), which lead to the console's pages.

The client makes them for the pages of a cluster: ``/p/<project>/fs/<store>/fg/<id>`` and so on. They tell nothing, so
they need no session; the page that they lead to does.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from deepcube.embedded.console.pages import BASE

_LINKS = [
    (re.compile(r"/p/(\d+)/fs/\d+/fg/(\d+)(?:/.*)?"), "/{}/features/groups/{}"),
    (re.compile(r"/p/(\d+)/fs/\d+/fv/([^/]+)/version/(\d+)(?:/.*)?"), "/{}/features/views/{}/{}"),
    (re.compile(r"/p/(\d+)/models/([^/]+)/(\d+)"), "/{}/models/{}?version={}"),
    (re.compile(r"/p/(\d+)/deployments/(\d+)"), "/{}/deployments/{}"),
    (re.compile(r"/p/(\d+)/jobs/named/([^/]+)(?:/executions)?"), "/{}/jobs/{}"),
    (re.compile(r"/p/(\d+)(?:/.*)?"), "/{}"),
]


def console_path(path: str) -> str:
    """Return the console's page for an address that the client prints.

    Parameters
    ----------
    path : str
        Path of the address, decoded.
    """
    for pattern, page in _LINKS:
        found = pattern.fullmatch(path)
        if found:
            return BASE + page.format(*(quote(part, safe="") for part in found.groups()))
    return BASE


async def follow(request: Request) -> Response:
    """Send the browser to the console's page."""
    return RedirectResponse(console_path(request.url.path), status_code=303)
