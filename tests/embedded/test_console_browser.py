"""The console in a real browser, filled through the real client.

Needs Chromium (Debian's package ``chromium``; another place: ``DEEPCUBE_CHROMIUM``) and the package ``playwright``.
Screenshots go to ``DEEPCUBE_SCREENSHOTS`` if that is set.
"""

from __future__ import annotations

import http.server
import os
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import console_content as content
import pytest
from pages import wait_until

from deepcube.embedded import Running
from deepcube.embedded.console import one_time_url
from deepcube.embedded.neighbours import forget_atlas, tell_atlas

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = pytest.mark.e2e

DESKTOP, PHONE = {"width": 1200, "height": 800}, {"width": 390, "height": 800}
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def filled(project: Any, embedded: Running, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Fill the project of the module's server."""
    folder = tmp_path_factory.mktemp("content")
    view = content.fill_view(project, content.fill_features(project))
    content.fill_models(project, folder, view)
    content.fill_deployment(project)
    job = content.fill_jobs(project, folder)
    content.fill_alerts(project, folder)
    job.run(args="--source somewhere/season.zarr", await_termination=True)
    content.fill_files(project, folder)
    content.fill_cube(project, folder)
    content.fill_experiments(embedded.home.root)
    return project


@dataclass
class Visitor:
    """A browser window of one person."""

    page: Page
    url: str
    base: str
    problems: list[str]
    screenshots: Path | None

    def go(self, path: str) -> Page:
        """Open a page of the project."""
        self.page.goto(f"{self.url}{self.base}{path}")
        return self.page

    def until(self, expression: str) -> None:
        """Wait until something is true in the page."""
        wait_until(self.page, expression, PATIENCE_MS)

    def shot(self, name: str) -> None:
        """Keep a picture of the whole page."""
        if self.screenshots is not None:
            self.page.screenshot(path=self.screenshots / f"console-{name}.png", full_page=True)


@pytest.fixture
def visit(browser: Browser, embedded: Running, filled: Any) -> Iterator[Callable[..., Visitor]]:
    """Return a function that opens a window, signed in by a one-time address unless told otherwise.

    At the end of the test nothing may have run that stood in data, and nothing may have broken the page's policy.
    """
    named = os.environ.get("DEEPCUBE_SCREENSHOTS")
    screenshots = Path(named) if named else None
    if screenshots is not None:
        screenshots.mkdir(parents=True, exist_ok=True)
    opened: list[tuple[BrowserContext, Visitor]] = []

    def open_window(*, phone: bool = False, dark: bool = False, signed_in: bool = True, **options: Any) -> Visitor:
        context = browser.new_context(
            viewport=PHONE if phone else DESKTOP,
            has_touch=phone,
            color_scheme="dark" if dark else "light",
            ignore_https_errors=True,  # the certificate is signed by the platform's own authority
            **options,
        )
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console",
            lambda message: problems.append(message.text) if "Content Security Policy" in message.text else None,
        )
        if signed_in:
            page.goto(one_time_url(embedded.home))
        visitor = Visitor(page, embedded.url, f"/console/{filled.id}", problems, screenshots)
        opened.append((context, visitor))
        return visitor

    yield open_window
    for context, visitor in opened:
        if not visitor.page.is_closed():
            assert visitor.page.evaluate("window.hacked") is None
        assert visitor.problems == []
        context.close()


def _group_id(project: Any) -> int:
    return int(project.get_feature_store().get_feature_group(content.GROUP, 1).id)


# -- signing in


def test_one_signs_in_with_the_key(visit: Callable[..., Visitor], embedded: Running) -> None:
    visitor = visit(signed_in=False)
    page = visitor.page
    answer = page.goto(embedded.url)
    assert answer is not None and answer.status == 401
    visitor.shot("sign-in")
    page.get_by_label("API key").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("alert").filter(has_text="not a valid API key").wait_for()
    page.get_by_label("API key").fill(embedded.environment()["HOPSWORKS_API_KEY"])
    page.keyboard.press("Enter")
    page.get_by_role("heading", name=embedded.project, exact=True).wait_for()
    visitor.shot("overview")
    assert page.evaluate("document.cookie") == ""
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("API key").wait_for()
    assert (page.goto(f"{embedded.url}/console") or answer).status == 401


def test_a_one_time_address_signs_in_once(visit: Callable[..., Visitor], embedded: Running) -> None:
    address = one_time_url(embedded.home)
    first, second = visit(signed_in=False), visit(signed_in=False)
    first.page.goto(address)
    assert first.page.url.endswith(first.base)
    assert "token" not in first.page.evaluate("location.href + document.referrer")
    answer = second.page.goto(address)
    assert answer is not None and answer.status == 401
    assert "used already" in second.page.get_by_role("alert").inner_text()


def test_one_lands_where_one_wanted_to_be(visit: Callable[..., Visitor], embedded: Running) -> None:
    visitor = visit(signed_in=False)
    page = visitor.go(f"/jobs/{content.JOB}")
    page.get_by_label("API key").fill(embedded.environment()["HOPSWORKS_API_KEY"])
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name=content.JOB).wait_for()


# -- jobs


def test_a_job_is_run_with_arguments_and_followed(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.go("/jobs")
    page.get_by_role("link", name=content.JOB).click()
    page.get_by_label("Arguments").fill("--greet 'the whole world' \"<b>\"")
    visitor.shot("job")
    page.get_by_role("button", name="Run").click()
    page.get_by_role("heading", name=re.compile(r"Execution \d+")).wait_for()
    page.locator("#state .good", has_text="FINISHED").wait_for()
    output = page.locator("#out").inner_text()
    assert "arguments: ['--greet', 'the whole world', '<b>']" in output
    assert "hostile: <script>window.hacked = 1</script>" in output
    assert output.strip().endswith("done")
    assert "café ✓" in page.locator("#err").inner_text()
    visitor.shot("execution")


def test_a_running_job_is_watched_live_and_stopped(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.go(f"/jobs/{content.JOB}")
    page.get_by_label("Arguments").fill("--wait")
    page.get_by_role("button", name="Run").click()
    page.get_by_role("button", name="Stop").wait_for()
    page.evaluate("window.sameDocument = true")
    visitor.until("/step 3\\b/.test(document.getElementById('out').textContent)")
    visitor.until("/step 9\\b/.test(document.getElementById('out').textContent)")
    assert page.evaluate("window.sameDocument") is True, "the log must grow without the page being loaded again"
    steps = [int(step) for step in re.findall(r"step (\d+)", page.locator("#out").inner_text())]
    assert steps == list(range(len(steps))), "no line twice, none missing"
    visitor.shot("execution-running")
    page.get_by_role("button", name="Stop").click()
    page.locator("#state .idle", has_text="KILLED").wait_for()
    assert page.get_by_role("button", name="Stop").count() == 0


# -- feature store


def test_a_feature_group_is_shown_with_units_and_escaped(visit: Callable[..., Visitor], filled: Any) -> None:
    visitor = visit()
    page = visitor.go("/features")
    visitor.shot("feature-store")
    page.get_by_role("link", name=content.GROUP).click()
    page.wait_for_url(f"**/features/groups/{_group_id(filled)}")
    assert content.HOSTILE in page.locator("main").inner_text()
    row = page.get_by_role("row", name=re.compile("^temperature"))
    assert row.get_by_role("cell").all_inner_texts()[:2] == ["double", "degrees Celsius"]
    assert "primary key" in page.get_by_role("row", name=re.compile("^station")).inner_text()
    visitor.shot("feature-group")


def test_statistics_are_drawn(visit: Callable[..., Visitor], filled: Any) -> None:
    visitor = visit()
    page = visitor.go(f"/features/groups/{_group_id(filled)}/statistics")
    page.get_by_role("button", name="Compute now").click()
    page.locator(".notice").filter(has_text="new statistics").wait_for()
    chart = page.get_by_role("img", name=re.compile("^Histogram of temperature: 20 bins from 10 to 21.5"))
    assert chart.locator("rect").count() == 20
    assert page.get_by_role("img", name=re.compile("^Most frequent values of remark: calm")).count() == 1
    assert "degrees Celsius" in page.locator("li", has=chart).inner_text()
    visitor.shot("statistics")


def test_rows_are_shown(visit: Callable[..., Visitor], filled: Any) -> None:
    visitor = visit()
    page = visitor.go(f"/features/groups/{_group_id(filled)}/rows")
    assert page.get_by_role("row").count() == 51
    text = page.get_by_role("table").inner_text()
    assert "<b>windy</b>" in text
    assert "null" in text
    assert "2026-01-01 " in text
    visitor.shot("rows")


def test_lineage_leads_from_the_group_to_the_model(visit: Callable[..., Visitor], filled: Any) -> None:
    visitor = visit()
    page = visitor.go(f"/features/groups/{_group_id(filled)}/lineage")
    graph = page.get_by_role("group", name=f"Lineage of {content.GROUP}")
    visitor.shot("lineage")
    graph.get_by_role("link", name=f"{content.VIEW}, Feature view 1").click()
    page.get_by_role("heading", name=content.VIEW).wait_for()
    assert "label" in page.get_by_role("row", name=re.compile("^humidity")).inner_text()
    visitor.shot("feature-view")
    page.get_by_role("link", name=f"{content.MODEL}, Model 2").click()
    page.get_by_role("heading", name=content.MODEL, exact=True).wait_for()


def test_commits_and_activities_are_listed(visit: Callable[..., Visitor], filled: Any) -> None:
    page = visit().go(f"/features/groups/{_group_id(filled)}/history")
    assert "200" in page.get_by_role("region", name="Commits").inner_text()
    assert "commit" in page.get_by_role("region", name="Activity").inner_text()


def test_search_finds_features_and_models(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.go("/features")
    page.get_by_role("searchbox").fill("temperature")
    page.keyboard.press("Enter")
    page.get_by_role("status").filter(has_text="found for “temperature”").wait_for()
    page.get_by_role("link", name="temperature", exact=True).click()
    page.get_by_role("heading", name=content.GROUP).wait_for()
    page = visitor.go(f"/features?q={content.MODEL}")
    visitor.shot("search")
    page.get_by_role("link", name=f"{content.MODEL} 2", exact=True).click()
    page.get_by_role("heading", name=content.MODEL, exact=True).wait_for()


# -- models, deployments


def test_versions_of_a_model_stand_side_by_side(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.go(f"/models/{content.MODEL}")
    cells = page.get_by_role("row", name=re.compile("^rmse")).get_by_role("cell").all_inner_texts()
    assert cells == ["0.27 lowest", "0.31 highest"]
    pictures = page.get_by_role("img", name="attributions.png")
    assert pictures.count() == 2
    pictures.first.scroll_into_view_if_needed()
    visitor.until("document.querySelector('figure img').naturalWidth === 96")
    visitor.shot("model")
    page.get_by_label("1", exact=True).uncheck()
    page.get_by_role("button", name="Show").click()
    page.get_by_role("columnheader", name="Version 1").wait_for(state="detached")
    assert page.get_by_role("columnheader").all_inner_texts() == ["Metric", "Version 2"]


def test_a_deployment_is_started_tried_explained_and_stopped(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.go("/deployments")
    page.get_by_role("link", name=content.DEPLOYMENT, exact=True).click()
    assert page.get_by_role("button", name="Send").is_disabled()
    page.get_by_role("button", name="Start").click()
    page.locator("#state .good", has_text="Running").wait_for()
    assert '"temperature": 20.0' in page.get_by_label("Request, JSON").input_value()
    page.get_by_role("button", name="Send").click()
    explanation = page.locator(".explanation")
    explanation.wait_for()
    rows = explanation.get_by_role("row").filter(has=page.get_by_role("rowheader"))
    assert [re.split(r"\s+", row.inner_text().strip()) for row in rows.all()] == [
        ["temperature", "20", "10"],
        ["humidity", "40", "-10"],
    ]
    assert "Instance 1: sum" in explanation.inner_text()
    assert re.search(r"completeness error\s+0\b", explanation.inner_text())
    visitor.shot("deployment")
    page.get_by_label("Request, JSON").fill('{"instances": [{"temperature": 1.0}]}')
    page.get_by_role("button", name="Send").click()
    page.get_by_role("alert").filter(has_text="humidity").wait_for()
    page.get_by_label("Request, JSON").fill("not json <b>")
    page.get_by_role("button", name="Send").click()
    page.get_by_role("alert").filter(has_text="not JSON").wait_for()
    assert page.get_by_label("Request, JSON").input_value() == "not json <b>"
    page.get_by_role("button", name="Stop").click()
    page.locator("#state .idle", has_text="Stopped").wait_for()


# -- files


def test_files_are_browsed_shown_and_downloaded(visit: Callable[..., Visitor], tmp_path: Path) -> None:
    visitor = visit()
    page = visitor.go("/files")
    page.get_by_role("link", name="Resources/").click()
    visitor.shot("files")
    page.get_by_role("link", name="evil.html", exact=True).click()
    page.get_by_role("heading", name="evil.html").wait_for()
    assert page.locator("pre").inner_text() == "<script>window.hacked = 1</script>"
    page.get_by_role("link", name="Resources").click()
    page.get_by_role("link", name="notes <b>.txt", exact=True).click()
    assert content.HOSTILE in page.locator("pre").inner_text()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    download.value.save_as(tmp_path / "kept")
    assert download.value.suggested_filename.endswith(".txt")
    assert (tmp_path / "kept").read_text() == f"plain {content.HOSTILE}\n"
    page = visitor.go("/files/at/Resources/data.bin")
    assert "not a text" in page.locator("main").inner_text()
    page = visitor.go(f"/files/at/Models/{content.MODEL}/1/Files/attributions.png")
    visitor.until("document.querySelector('figure img').naturalWidth === 96")


# -- experiments, cubes, alerts


def test_a_study_shows_its_trials(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.go("/experiments")
    assert content.HOSTILE in page.get_by_role("row", name=re.compile("^study")).inner_text()
    page.get_by_role("link", name="study").click()
    page.get_by_role("heading", name="study", exact=True).wait_for()
    assert page.get_by_role("img", name=re.compile("lowest at the end")).locator("path.run").count() == 3
    assert page.get_by_role("region", name="Parallel coordinates").locator("path.run").count() == 3
    assert page.get_by_role("region", name="Trials").get_by_role("row").count() == 4
    visitor.shot("experiment")


def test_a_published_cube_is_shown_with_variables_chunks_and_picture(
    visit: Callable[..., Visitor], embedded: Running
) -> None:
    visitor = visit()
    page = visitor.go("/cubes")
    assert "somewhere/season.zarr" in page.get_by_role("region", name="Cubes that jobs have read").inner_text()
    assert page.get_by_role("link", name=re.compile("atlas")).count() == 0
    tell_atlas(embedded.home.root, "http://127.0.0.1:8891/", [content.CUBE])
    page.reload()
    atlas = page.get_by_role("link", name=re.compile("in the atlas"))
    assert atlas.get_attribute("href") == f"http://127.0.0.1:8891/#in={content.CUBE}"
    forget_atlas(embedded.home.root)
    visitor.until("document.querySelector('figure img').naturalWidth > 10")
    visitor.shot("cubes")
    page.get_by_role("link", name=re.compile("^Vegetation")).first.click()
    page.get_by_role("heading", name=f"Vegetation {content.HOSTILE}").wait_for()
    cells = page.get_by_role("row", name=re.compile("^ndvi")).get_by_role("cell").all_inner_texts()
    assert "4 × 20 × 30" in cells[3]
    assert re.match(r"\d+ × \d+ × \d+", cells[4])
    facts = page.locator("dl.facts").inner_text()
    assert "2020-01-01 to 2020-02-18" in facts
    assert "21.995° E to 22.295° E, 44.805° N to 45.005° N" in facts
    assert "CC-BY-4.0" in facts
    visitor.until("document.querySelector('figure img').naturalWidth > 10")
    visitor.shot("cube")
    page = visitor.go("/cubes/at/Resources")
    assert "no published cube" in page.locator("main").inner_text()


def test_alerts_of_feeds_jobs_and_what_they_wait_for(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.go("/alerts")
    visitor.until("document.querySelector('figure img').naturalWidth === 96")
    assert content.HOSTILE in page.get_by_role("article").first.inner_text()
    assert page.get_by_role("article").count() == 2
    assert page.locator("main img").count() == 1, "a picture that does not lie beside the feed is not shown"
    row = page.get_by_role("region", name="Alerts that came up").get_by_role("row").nth(1)
    assert content.JOB in row.inner_text() and "FINISHED" in row.inner_text().upper()
    waiting = page.get_by_role("region", name="Alerts that wait").inner_text()
    assert f"job {content.JOB}" in waiting
    visitor.shot("alerts")


# -- safety


class _Neighbour(http.server.BaseHTTPRequestHandler):
    """Another program on this machine, whose page posts to the console."""

    target = ""

    def do_GET(self) -> None:
        """Answer with a form that sends itself."""
        form = f"<form method=post action='{self.target}'><input name=arguments value=x></form>"
        page = f"{form}<script>document.forms[0].submit()</script>"
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(page.encode())

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def neighbour(embedded: Running) -> Iterator[http.server.ThreadingHTTPServer]:
    """Serve on another port of the same host, over TLS: the same site, so that the browser does send the cookie."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Neighbour)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificates = embedded.home.certificates
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_page_of_another_port_cannot_run_a_job(
    visit: Callable[..., Visitor], neighbour: http.server.ThreadingHTTPServer, filled: Any
) -> None:
    visitor = visit()
    _Neighbour.target = f"{visitor.url}{visitor.base}/jobs/{content.JOB}/run"
    job = filled.get_job_api().get_job(content.JOB)
    before = len(job.get_executions())
    with visitor.page.expect_response(_Neighbour.target) as answer:
        visitor.page.goto(f"https://127.0.0.1:{neighbour.server_port}/")
    sent = answer.value.request.all_headers()
    assert "__Host-deepcube-" in sent.get("cookie", ""), "the browser counts another port as the same site"
    assert answer.value.status == 403
    assert len(job.get_executions()) == before


# -- for everyone


def _pages(project: Any) -> dict[str, str]:
    group = _group_id(project)
    execution = project.get_job_api().get_job(content.JOB).get_executions()[-1].id
    deployment = project.get_model_serving().get_deployment(content.DEPLOYMENT).id
    return {
        "overview": "",
        "jobs": "/jobs",
        "job": f"/jobs/{content.JOB}",
        "execution": f"/jobs/{content.JOB}/executions/{execution}",
        "feature-store": "/features",
        "feature-group": f"/features/groups/{group}",
        "statistics": f"/features/groups/{group}/statistics",
        "rows": f"/features/groups/{group}/rows",
        "lineage": f"/features/groups/{group}/lineage",
        "history": f"/features/groups/{group}/history",
        "feature-view": f"/features/views/{content.VIEW}/1",
        "search": "/features?q=weather",
        "models": "/models",
        "model": f"/models/{content.MODEL}",
        "deployments": "/deployments",
        "deployment": f"/deployments/{deployment}",
        "experiments": "/experiments",
        "experiment": f"/experiments/{content.STUDY}",
        "cubes": "/cubes",
        "cube": f"/cubes/at/Resources/cubes/{content.CUBE}",
        "alerts": "/alerts",
        "files": "/files/at/Resources",
        "file": "/files/at/Resources/evil.html",
        "error": "/nothing",
    }


@pytest.mark.parametrize(("phone", "dark"), [(False, False), (False, True), (True, False)])
def test_every_page_is_accessible_and_fits(visit: Callable[..., Visitor], filled: Any, phone: bool, dark: bool) -> None:
    from axe_playwright_python.sync_playwright import Axe

    visitor, axe = visit(phone=phone, dark=dark), Axe()
    suffix = f"{'-phone' if phone else ''}{'-dark' if dark else ''}"
    for name, path in _pages(filled).items():
        page = visitor.go(path)
        found = axe.run(page).response["violations"]
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == [], name
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is wider than the window"
        if suffix:
            visitor.shot(name + suffix)
    signed_out = visit(phone=phone, dark=dark, signed_in=False)
    signed_out.go("")
    assert axe.run(signed_out.page).response["violations"] == []


def test_the_keyboard_reaches_everything_from_the_top(visit: Callable[..., Visitor]) -> None:
    page = visit().go("/jobs")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")
    page = visit().go("/jobs")
    names = []
    for _ in range(14):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.textContent.trim()"))
    sections = ["Jobs", "Feature store", "Models", "Experiments", "Deployments", "Cubes", "Alerts", "Files"]
    assert names[3:11] == sections


def test_the_pages_work_without_script(visit: Callable[..., Visitor]) -> None:
    visitor = visit(java_script_enabled=False)
    page = visitor.go(f"/jobs/{content.JOB}")
    page.get_by_role("button", name="Run").click()
    page.get_by_role("heading", name=re.compile(r"Execution \d+")).wait_for()
    for _ in range(60):
        if "FINISHED" in page.locator("#state").inner_text():
            break
        page.wait_for_timeout(500)
        page.reload()
    assert "done" in page.locator("#out").inner_text()
    page.close()


def test_the_addresses_that_the_client_prints_work(visit: Callable[..., Visitor], filled: Any) -> None:
    visitor = visit()
    page = visitor.page
    store = filled.get_feature_store().id
    page.goto(f"{visitor.url}/p/{filled.id}/fs/{store}/fg/{_group_id(filled)}")  # printed, but by no method returned
    page.get_by_role("heading", name=content.GROUP).wait_for()
    model = filled.get_model_registry().get_model(content.MODEL, version=2)
    page.goto(model.get_url())
    page.get_by_role("heading", name=content.MODEL, exact=True).wait_for()
    page.goto(filled.get_job_api().get_job(content.JOB).get_url())
    page.get_by_role("heading", name=content.JOB).wait_for()
    page.goto(filled.get_model_serving().get_deployment(content.DEPLOYMENT).get_url())
    page.get_by_role("heading", name=content.DEPLOYMENT, exact=True).wait_for()
    page.goto(filled.get_url())
    page.get_by_role("heading", name=filled.name, exact=True).wait_for()
