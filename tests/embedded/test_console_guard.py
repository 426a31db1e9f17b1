"""What stands before every page of the console: a session, the same origin, the session's token, a strict policy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Route

from deepcube.embedded.api import RESOURCES
from deepcube.embedded.console import console_routes
from deepcube.embedded.console.pages import MAX_FORM_BYTES, SECURITY_HEADERS
from deepcube.embedded.console.session import IDLE_SECONDS, Sessions
from deepcube.embedded.home import Home
from deepcube.embedded.keys import OWNER
from deepcube.embedded.platform import Platform
from deepcube.embedded.quality.projects import create as create_project
from deepcube.embedded.server import open_platform

ORIGIN = "https://testserver"
_OPEN = ("/", "/p/{rest:path}", "/console/sign-in", "/console/ticket", "/console/static")
_SAMPLE = {
    "run": "0123456789abcdef",
    "project_id": "1",
    "id": "1",
    "name": "x",
    "version": "1",
    "path": "Resources/x.png",
    "action": "start",
    "rest": "y",
}


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Browser:
    """Sends requests to an application in this process; keeps cookies, follows no redirect."""

    def __init__(self, app: Starlette, portal: BlockingPortal) -> None:
        self._portal = portal
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url=ORIGIN)

    @property
    def cookies(self) -> httpx.Cookies:
        """What it keeps."""
        return self._client.cookies

    def request(self, method: str, address: str, **options: Any) -> httpx.Response:
        """Send a request; a form without fields is still a form."""
        if method == "POST" and "content" not in options:
            headers = {"content-type": "application/x-www-form-urlencoded", **options.pop("headers", {})}
            options = {"content": urlencode(options.pop("data", {})), "headers": headers, **options}
        return self._portal.call(partial(self._client.request, method, address, **options))

    def get(self, address: str, **options: Any) -> httpx.Response:
        """Send a GET."""
        return self.request("GET", address, **options)

    def post(self, address: str, **options: Any) -> httpx.Response:
        """Send a POST."""
        return self.request("POST", address, **options)


@dataclass
class Site:
    """A platform with its console, in this process."""

    platform: Platform
    app: Starlette
    routes: list[BaseRoute]
    clock: Clock
    key: str
    portal: BlockingPortal

    def browser(self) -> Browser:
        """Return a browser that is not signed in."""
        return Browser(self.app, self.portal)

    def signed_in(self) -> Browser:
        """Return a browser that is signed in."""
        browser = self.browser()
        answer = browser.post("/console/sign-in", data={"key": self.key}, headers={"origin": ORIGIN})
        assert answer.status_code == 303
        return browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = Home(tmp_path_factory.mktemp("home"))
    home.prepare()
    platform = open_platform(home, rest_port=0)
    clock = Clock()
    rest: list[BaseRoute] = [route for resource in RESOURCES for route in resource.starlette(platform)]
    routes = console_routes(platform, rest, Sessions(platform.keys, clock))
    key = platform.keys.owner_key(home)
    with start_blocking_portal() as portal:
        yield Site(platform, Starlette(routes=[*rest, *routes]), routes, clock, key, portal)
    platform.close()


def _token(page: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found
    return found[1]


def _guarded(site: Site) -> list[tuple[str, str]]:
    """Return method and a sample address of every route that needs a session."""
    found = []
    for route in site.routes:
        assert isinstance(route, Route | Mount)
        if route.path in _OPEN:
            continue
        assert isinstance(route, Route)
        address = re.sub(r"{(\w+)(?::\w+)?}", lambda part: _SAMPLE[part[1]], route.path)
        found += [(method, address) for method in sorted(route.methods or ()) if method != "HEAD"]
    return found


def test_anonymous_visitors_are_refused_on_every_route(site: Site) -> None:
    guarded = _guarded(site)
    assert len(guarded) > 25
    browser = site.browser()
    for method, address in guarded:
        answer = browser.request(method, address, headers={"origin": ORIGIN})
        assert answer.status_code == 401, (method, address)
        assert "API key" in answer.text
        assert site.platform.settings.project not in answer.text.replace("deepcube env", "").replace(
            "deepcube open", ""
        )
        for_script = browser.request(method, address, headers={"origin": ORIGIN, "accept": "application/json"})
        assert for_script.status_code == 401
        assert for_script.json()["errorCode"] == 200003


def test_a_made_up_cookie_is_refused(site: Site) -> None:
    browser = site.browser()
    cookie = f"__Host-deepcube-{site.platform.settings.ports['rest']}=made-up"
    assert browser.get("/console/1/jobs", headers={"cookie": cookie}).status_code == 401


def test_every_answer_carries_the_policy(site: Site) -> None:
    signed_in, anonymous = site.signed_in(), site.browser()
    addresses = ["/", "/p/1/jobs", "/console/sign-in", "/console/ticket?token=x", "/console/static/console.css"]
    for method, address in [*_guarded(site), *(("GET", each) for each in addresses)]:
        for browser in (signed_in, anonymous):
            answer = browser.request(method, address)
            for name, value in SECURITY_HEADERS.items():
                assert answer.headers[name] == value, (method, address, name)
    policy = SECURITY_HEADERS["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_signing_in_sets_a_cookie_that_scripts_and_other_sites_do_not_get(site: Site) -> None:
    answer = site.browser().post("/console/sign-in", data={"key": site.key}, headers={"origin": ORIGIN})
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"__Host-deepcube-{site.platform.settings.ports['rest']}=")
    for attribute in ("HttpOnly", "Secure", "SameSite=strict", "Path=/", "Max-Age="):
        assert attribute in cookie
    assert "Domain" not in cookie
    assert site.key not in cookie
    assert site.key.partition(".")[2] not in cookie


def test_a_wrong_key_is_refused_and_not_shown_again(site: Site) -> None:
    answer = site.browser().post("/console/sign-in", data={"key": "secret-typo"}, headers={"origin": ORIGIN})
    assert answer.status_code == 401
    assert "not a valid API key" in answer.text
    assert "secret-typo" not in answer.text
    assert "set-cookie" not in answer.headers


def test_signing_in_leads_back_but_nowhere_else(site: Site) -> None:
    form = {"key": site.key, "target": "/console/1/files"}
    answer = site.browser().post("/console/sign-in", data=form, headers={"origin": ORIGIN})
    assert answer.headers["location"] == "/console/1/files"
    form["target"] = "https://evil.example/"
    answer = site.browser().post("/console/sign-in", data=form, headers={"origin": ORIGIN})
    assert answer.headers["location"] == "/console"


def test_a_sign_in_form_of_another_site_is_refused(site: Site) -> None:
    for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {}, {"origin": "http://testserver"}):
        answer = site.browser().post("/console/sign-in", data={"key": site.key}, headers=headers)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


def _post_routes(site: Site) -> list[str]:
    return [address for method, address in _guarded(site) if method == "POST"]


def test_a_form_without_the_sessions_token_is_refused(site: Site) -> None:
    browser, other = site.signed_in(), site.signed_in()
    stolen = _token(other.get("/console/1").text)
    addresses = _post_routes(site)
    assert len(addresses) >= 6
    for address in addresses:
        for form in ({}, {"csrf": ""}, {"csrf": "made up"}, {"csrf": stolen}):
            answer = browser.post(address, data=form, headers={"origin": ORIGIN})
            assert answer.status_code == 403, address
            assert "form" in answer.text
    assert browser.get("/console/1").status_code == 200


def test_a_form_of_another_origin_is_refused_even_with_the_token(site: Site) -> None:
    browser = site.signed_in()
    token = _token(browser.get("/console/1").text)
    foreign = [
        {"origin": "https://evil.example"},
        {"origin": "https://testserver:8443"},
        {"origin": "null"},
        {},
        {"origin": ORIGIN, "sec-fetch-site": "cross-site"},
        {"origin": ORIGIN, "sec-fetch-site": "same-site"},
    ]
    for address in _post_routes(site):
        for headers in foreign:
            assert browser.post(address, data={"csrf": token}, headers=headers).status_code == 403


def test_a_form_must_be_a_form_and_not_too_long(site: Site) -> None:
    browser = site.signed_in()
    token = _token(browser.get("/console/1").text)
    headers = {"origin": ORIGIN, "content-type": "text/plain"}
    assert browser.post("/console/1/jobs/x/run", content=f"csrf={token}", headers=headers).status_code == 400
    long = {"csrf": token, "arguments": "x" * MAX_FORM_BYTES}
    assert browser.post("/console/1/jobs/x/run", data=long, headers={"origin": ORIGIN}).status_code == 413
    many = {"csrf": token, **{f"field{number}": "" for number in range(1000)}}
    assert browser.post("/console/1/jobs/x/run", data=many, headers={"origin": ORIGIN}).status_code == 400


def test_the_api_takes_no_cookie(site: Site) -> None:
    browser = site.signed_in()
    assert browser.get("/console/1").status_code == 200
    assert browser.get("/hopsworks-api/api/project").status_code == 401


def test_an_expired_session_is_refused_and_leads_back(site: Site) -> None:
    browser = site.signed_in()
    assert browser.get("/console/1/files").status_code == 200
    site.clock.now += IDLE_SECONDS + 1
    answer = browser.get("/console/1/files?offset=0")
    assert answer.status_code == 401
    assert 'name="target" value="/console/1/files?offset=0"' in answer.text


def test_signing_out_ends_the_session(site: Site) -> None:
    browser = site.signed_in()
    token = _token(browser.get("/console/1").text)
    stolen = dict(browser.cookies)
    answer = browser.post("/console/sign-out", data={"csrf": token}, headers={"origin": ORIGIN})
    assert answer.status_code == 303
    cookie = "; ".join(f"{name}={value}" for name, value in stolen.items())
    assert site.browser().get("/console/1", headers={"cookie": cookie}).status_code == 401


def test_no_page_holds_the_key(site: Site) -> None:
    browser = site.signed_in()
    secret = site.key.partition(".")[2]
    for method, address in _guarded(site):
        if method == "GET":
            answer = browser.get(address)
            assert secret not in answer.text, address
            assert secret not in str(answer.headers), address


def test_pages_are_not_kept_by_the_browser(site: Site) -> None:
    assert site.signed_in().get("/console/1").headers["cache-control"] == "no-store"


def test_an_unknown_page_or_project_is_not_found(site: Site) -> None:
    browser = site.signed_in()
    for address in ("/console/1/nonsense", "/console/999", "/console/999/jobs", "/console/1/jobs/absent"):
        answer = browser.get(address)
        assert answer.status_code == 404, address
        assert "Not found" in answer.text


def test_files_cannot_leave_the_project(site: Site) -> None:
    secret = site.platform.home.api_key_file
    browser = site.signed_in()
    for kind in ("at", "download", "picture"):
        for path in (
            "../../../api_key",
            "%2e%2e/%2e%2e/%2e%2e/api_key",
            f"{secret}",
            "Resources/%00",
            "..%5c..%5capi_key",
        ):
            answer = browser.get(f"/console/1/files/{kind}/{path}")
            assert answer.status_code >= 400, (kind, path)
            assert secret.read_text().strip() not in answer.text


def test_only_pictures_are_shown(site: Site, tmp_path: Path) -> None:
    folder = site.platform.files.resolve(site.platform.settings.project, "Resources")
    (folder / "evil.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>")
    (folder / "page.html").write_text("<script>1</script>")
    (folder / "fake.png").write_text("<script>1</script>")
    browser = site.signed_in()
    assert browser.get("/console/1/files/picture/Resources/evil.svg").status_code == 400
    assert browser.get("/console/1/files/picture/Resources/page.html").status_code == 400
    fake = browser.get("/console/1/files/picture/Resources/fake.png")
    assert fake.headers["content-type"] == "image/png"
    assert fake.headers["x-content-type-options"] == "nosniff"
    kept = browser.get("/console/1/files/download/Resources/page.html")
    assert kept.status_code == 200
    assert kept.text == "<script>1</script>"
    assert kept.headers["content-disposition"].startswith("attachment")
    assert kept.headers["content-type"] == "application/octet-stream"


def test_a_folder_cannot_be_downloaded(site: Site) -> None:
    answer = site.signed_in().get("/console/1/files/download/Resources")
    assert answer.status_code == 400


def test_a_nonsense_page_number_is_a_clear_error(site: Site) -> None:
    browser = site.signed_in()
    for value in ("-1", "x", "1e9", "٣", "9" * 30):
        answer = browser.get("/console/1/files", params={"offset": value})
        assert answer.status_code == 400
        assert "whole number" in answer.text


def test_one_sees_and_does_what_ones_role_allows(site: Site) -> None:
    platform = site.platform
    user = platform.keys.register("guest@example.org", "Guest", "User")
    theirs = create_project(platform, "guests", None, user)
    key = platform.keys.create("test", user)
    browser = site.browser()
    browser.post("/console/sign-in", data={"key": key}, headers={"origin": ORIGIN})
    start = browser.get("/console")
    assert start.headers["location"] == f"/console/{theirs.id}"
    page = browser.get(f"/console/{theirs.id}")
    assert page.status_code == 200
    assert platform.settings.project not in page.text.replace("DeepCube", "")
    token = _token(page.text)
    for method, address in _guarded(site):
        if address.startswith("/console/1"):
            form = {"data": {"csrf": token}, "headers": {"origin": ORIGIN}} if method == "POST" else {}
            assert browser.request(method, address, **form).status_code in (403, 404), (method, address)
    owner = site.signed_in().get("/console/1")
    assert f'href="/console/{theirs.id}"' in owner.text


def test_taking_a_key_back_ends_its_sessions(site: Site) -> None:
    key = site.platform.keys.create("soon revoked")
    browser = site.browser()
    browser.post("/console/sign-in", data={"key": key}, headers={"origin": ORIGIN})
    assert browser.get("/console/1").status_code == 200
    site.platform.keys.revoke("soon revoked", OWNER)
    assert browser.get("/console/1").status_code == 401


_segments = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["jobs", "features", "groups", "views", "models", "deployments", "files", "at", "1", "0", "-1", ".."]
    ),
    st.integers(0, 2**80).map(str),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    path=st.lists(_segments, max_size=6),
    query=st.dictionaries(
        st.sampled_from(["q", "offset", "version", "out", "err", "x"]), st.text(max_size=8), max_size=3
    ),
    form=st.dictionaries(st.sampled_from(["arguments", "request", "key"]), st.text(max_size=20), max_size=2),
)
def test_no_address_or_form_breaks_the_console(
    site: Site, path: list[str], query: dict[str, str], form: dict[str, str]
) -> None:
    browser = site.signed_in()
    token = _token(browser.get("/console/1").text)
    address = "/console/1/" + "/".join(quote(segment, safe="") for segment in path)
    assert browser.get(address, params=query).status_code < 500
    answer = browser.post(address, data={**form, "csrf": token}, headers={"origin": ORIGIN})
    assert answer.status_code < 500


def test_a_link_from_another_site_is_asked_for_once_more(site: Any) -> None:
    followed = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    answer = site.browser().get("/console/1/jobs", headers=followed)
    assert (answer.status_code, answer.headers["refresh"]) == (401, "0")
    for other in ({}, {**followed, "sec-fetch-site": "same-origin"}, {**followed, "sec-fetch-mode": "cors"}):
        assert "refresh" not in site.browser().get("/console/1/jobs", headers=other).headers
