"""The first page of a project: what there is of each kind."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import RedirectResponse, Response

from deepcube.embedded.console.pages import Page, Pages
from deepcube.embedded.errors import GENERIC_ILLEGAL_ARGUMENT, ApiError, not_found

pages = Pages(section="overview")


@dataclass(frozen=True)
class Card:
    """A kind of thing, on the overview.

    Attributes
    ----------
    title, text, href : str
        What is written, and where it leads.
    count : int or None
        How many there are; None where the platform does not say.
    """

    title: str
    text: str
    href: str
    count: int | None


@pages.get()
@pages.get("/")
def start(page: Page) -> Response:
    """Lead to the default project."""
    default = page.platform.settings.project
    projects = page.projects
    if not projects:
        raise not_found("this key opens no project", GENERIC_ILLEGAL_ARGUMENT)
    chosen = next((project for project in projects if project.name == default), projects[0])
    return RedirectResponse(f"/console/{chosen.id}", status_code=303)


@pages.get("/{project_id:int}")
def overview(page: Page) -> Response:
    """Say what the project holds."""
    store = ("featurestores", page.project.id)
    cards = [
        Card("Jobs", "Programs that run here, with their logs", f"{page.base}/jobs", _count(page, "jobs")),
        Card(
            "Feature groups",
            "Tables of features: units, statistics, rows, lineage",
            f"{page.base}/features",
            _count(page, *store, "featuregroups"),
        ),
        Card(
            "Feature views",
            "What models are trained on and served with",
            f"{page.base}/features#views",
            _count(page, *store, "featureview"),
        ),
        Card(
            "Models",
            "Versions and their metrics side by side",
            f"{page.base}/models",
            _count(page, "modelregistries", page.project.id, "models"),
        ),
        Card("Deployments", "Models that answer requests", f"{page.base}/deployments", _count(page, "serving")),
        Card("Cubes", "What is published here, and what jobs have read", f"{page.base}/cubes", None),
        Card("Alerts", "What came up, and the feeds of use cases", f"{page.base}/alerts", _count(page, "alerts")),
        Card("Files", "Datasets, logs and models as files", f"{page.base}/files", None),
    ]
    return page.html("overview.html", cards=cards)


def _count(page: Page, *segments: object) -> int | None:
    try:
        return len(page.items(*segments))
    except ApiError:
        return None


def nothing_here(page: Page) -> Response:
    """Say that there is no such page.

    Raises
    ------
    ApiError
        404, always.
    """
    raise not_found("there is no such page of the console", GENERIC_ILLEGAL_ARGUMENT)
