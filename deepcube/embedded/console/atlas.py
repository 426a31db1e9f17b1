"""Links into the atlas, where one runs beside the platform."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from deepcube.embedded.console.pages import Page
from deepcube.embedded.neighbours import running_atlas


def atlas_link(page: Page, shown: Mapping[str, str]) -> str:
    """Return the address at which the atlas shows something; empty where none runs that does.

    Parameters
    ----------
    page : Page
        Who asks.
    shown : mapping of str to str
        What to show: ``in``, the name of a collection, and perhaps ``layer``, ``time`` and the like.
    """
    running = running_atlas(page.platform.home.root)
    if running is None or shown["in"] not in running["collections"]:
        return ""
    return f"{running['url']}#{urlencode(shown)}"
