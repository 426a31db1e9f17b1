"""``deepcube open``: the atlas of cubes and predictions, or the console of the platform, in a browser."""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
import sys
import threading
import webbrowser
from pathlib import Path
from typing import Any

import click

from deepcube.embedded import Home
from deepcube.embedded import find as find_server
from deepcube.embedded.neighbours import forget_atlas, tell_atlas
from jobs import usecases
from jobs.cli.connect import connect
from jobs.cli.errors import PlatformError
from jobs.cli.platform import home_option, resolve_home
from jobs.cli.semantics import told
from jobs.stages import PIPELINES

_PORT = 8891
_SECTIONS = {
    "Jobs": "jobs",
    "Feature store": "features",
    "Models": "models",
    "Experiments": "experiments",
    "Deployments": "deployments",
    "Cubes": "cubes",
    "Alerts": "alerts",
    "Files": "files",
}
_FIRST = (
    "What can be asked about",
    "SELECT ?property ?label ?unit WHERE {\n  ?property a sosa:ObservableProperty ; rdfs:label ?label .\n"
    "  OPTIONAL { ?property dcube:unitText ?unit }\n} ORDER BY ?label\n",
)
_NEAR_DANGER = (
    "Hospitals within 10 km of extreme danger",
    "# of rows loaded with: deepcube semantics load-features wildfire_danger:1 --type Danger --store STORE\n"
    "SELECT ?name (MAX(?probability) AS ?danger) ?where WHERE {\n"
    '  ?row a feature:Danger ; feature:danger_class "extreme" ; feature:fire_probability ?probability ;\n'
    "    geo:hasGeometry/geo:asWKT ?cell .\n"
    "  ?hospital a feature:Hospital ; rdfs:label ?name ; geo:hasGeometry/geo:asWKT ?where .\n"
    "  FILTER(geof:distance(?cell, ?where, uom:metre) < 10000)\n"
    "} GROUP BY ?name ?where ORDER BY DESC(?danger)\n",
)


@click.command(name="open")
@click.argument("cubes", nargs=-1)
@home_option
@click.option(
    "--store", type=click.Path(path_type=Path), help="Folder of linked data for questions; see `semantics load`."
)
@click.option("--levels", is_flag=True, help="First write coarser copies of large cubes beside them, for fast views.")
@click.option("--no-platform", is_flag=True, help="Show cubes only, though a platform runs.")
@click.option("--console", is_flag=True, help="Open the console of the platform.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address that the atlas listens at.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=None, help=f"Its port (default: {_PORT}, or a free one)."
)
@click.option("--print", "print_only", is_flag=True, help="Print the address instead of opening a browser.")
@told
def open_atlas(
    cubes: tuple[str, ...],
    home: Path | None,
    store: Path | None,
    levels: bool,
    no_platform: bool,
    console: bool,
    host: str,
    port: int | None,
    print_only: bool,
) -> None:
    """Show CUBES and the predictions of the platform on a map in a browser, signed in, until Ctrl-C.

    The platform is the one that HOPSWORKS_HOST names, or the embedded one if it runs. Without CUBES, and where the
    platform has no predictions either, its console is opened.

    The address that is opened signs in once and only for a short while. The key for programs and for further browsers
    is in the file `atlas.key` of the home folder.
    """
    root = resolve_home(home)
    if console:
        _open_console(root, print_only)
        return
    project = None if no_platform else _project(root, home is not None)
    atlas, reasoners = _opened(cubes, levels), dict[str, Any]()
    announce, loading = _Announcement(root, atlas), None
    if project is not None and cubes:  # the map does not wait for the feature store
        atlas.loading = True
        loading = threading.Thread(target=_load, args=(atlas, reasoners, project, announce), daemon=True)
    elif project is not None:
        with contextlib.redirect_stdout(sys.stderr):  # standard output is for the address
            _load(atlas, reasoners, project, announce)
    if not cubes and not atlas.collections:
        _open_console(root, print_only)
        return
    semantics = _semantics(cubes, store)
    with announce:
        if loading is not None:
            loading.start()
        _serve(atlas, semantics, reasoners, _links(root, project), root / "atlas.key", host, port, print_only, announce)


class _Announcement:
    """Says in the home folder where the atlas runs and what it shows, for links of the console, until it ends.

    Parameters
    ----------
    root : pathlib.Path
        The home folder.
    atlas : Atlas
        What is shown.
    """

    def __init__(self, root: Path, atlas: Any) -> None:
        self._root = root
        self._atlas = atlas
        self._url = ""

    def tell(self, url: str = "") -> None:
        """Say the address, once it is known, and what is shown by now."""
        self._url = url or self._url
        if self._url:
            tell_atlas(self._root, self._url, [collection.id for collection in self._atlas.collections])

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, *about: object) -> None:
        """Take back what was said."""
        forget_atlas(self._root)


def _opened(cubes: tuple[str, ...], levels: bool) -> Any:
    from deepcube.atlas import Atlas
    from deepcube.cubes import open_cube

    opened = [open_cube(cube) for cube in cubes]
    if levels:
        for cube in opened:
            _build(cube)
    return Atlas(opened)


def _build(cube: Any) -> None:
    """Write the coarser copies of the large variables of a cube, unless it has them."""
    from rich.progress import Progress

    from deepcube.cubes.levels import build_levels, large, open_levels

    wanted = large(cube)
    if all(open_levels(cube, key) for key in wanted):
        return
    with Progress(transient=True) as bars:
        bar = bars.add_task(f"levels of {cube.name}")
        folder = build_levels(cube, wanted, lambda done, total: bars.update(bar, completed=done, total=total))
    click.echo(f"levels: {folder}")


def _load(atlas: Any, reasoners: dict[str, Any], project: Any, announce: _Announcement) -> None:
    """Add the predictions of a platform to an atlas."""
    from deepcube.atlas import PointReasoner, Reasoner, Turns, load_predictions

    turns = Turns()
    try:
        for table, collection in load_predictions(project, atlas.notes.append):
            if table.points:
                again = _again(table.use_case)
                reasoners[collection.id] = PointReasoner(project, table, lambda: atlas.collections, turns, again)
            else:
                reasoners[collection.id] = Reasoner(project, table, lambda: atlas.collections, turns)
            atlas.add(collection)
    finally:
        atlas.loading = False
        announce.tell()


def _again(use_case: str) -> Any:
    """Return what a use case can tell again of its rows; nothing where it is not installed, or offers none of it."""
    from deepcube.atlas import Again

    if use_case not in usecases.names():
        return Again()
    pipeline = importlib.import_module(f"{PIPELINES['inference']}.{use_case}")
    offered = {"instance": "instance_of", "picture": "picture_of"}
    return Again(**{what: getattr(pipeline, name) for what, name in offered.items() if hasattr(pipeline, name)})


def _open_console(root: Path, print_only: bool) -> None:
    if find_server(root) is None:
        raise PlatformError(f"no server runs for {root}; start it with `deepcube up`, or name a cube to show")
    from deepcube.embedded.console.session import one_time_url  # the console is heavy, the other commands are not

    _show(one_time_url(Home(root)), print_only)


def _project(root: Path, home_was_named: bool) -> Any:
    """Return the project of the platform that the environment names, or of the embedded one; None without either."""
    if find_server(root) is None and (home_was_named or "HOPSWORKS_HOST" not in os.environ):
        return None
    return connect(root, home_was_named).project


def _serve(
    atlas: Any,
    semantics: Any,
    reasoners: dict[str, Any],
    links: dict[str, str],
    key_file: Path,
    host: str,
    port: int | None,
    print_only: bool,
    announce: _Announcement,
) -> None:
    import uvicorn

    from deepcube.atlas import AtlasConfig, Sessions, build_app, read_key

    sessions = Sessions(read_key(key_file))
    listener = _listen(host, port)
    named = listener.getsockname()[1]
    hosts = () if host in ("127.0.0.1", "localhost", "::1") else (host,)
    app = build_app(AtlasConfig(atlas, sessions, named, hosts, links, reasoners, semantics))
    click.echo(f"atlas: http://{host}:{named}/ (key in {key_file}); Ctrl-C ends it")
    announce.tell(f"http://{host}:{named}/")
    _show(f"http://{host}:{named}/enter?token={sessions.ticket()}", print_only)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=2, server_header=False
    )
    uvicorn.Server(config).run(sockets=[listener])


def _links(root: Path, project: Any) -> dict[str, str]:
    """Return the pages of the platform that the atlas leads to: the sections of the console, or the project's page."""
    if project is None:
        return {}
    running = find_server(root)
    host, port = os.environ.get("HOPSWORKS_HOST", ""), os.environ.get("HOPSWORKS_PORT", "443")
    if running is None or running.url != f"https://{host}:{port}":
        return {"Hopsworks": f"https://{host}:{port}/p/{project.id}"}
    base = f"{running.url}/console/{project.id}"
    return {title: f"{base}/{section}" for title, section in _SECTIONS.items()}


def _semantics(cubes: tuple[str, ...], store: Path | None) -> Any:
    """Return how questions are answered; None where the libraries for it are not installed."""
    try:
        from deepcube.semantics.endpoint import EndpointConfig
        from deepcube.semantics.questions import QUESTIONS
        from deepcube.semantics.workers import EngineConfig
    except ImportError:
        return None
    if store is not None and not store.exists():
        raise click.UsageError(f"There is no linked data at {store}; load some with `deepcube semantics load`.")
    engine = EngineConfig(tuple((cube, None) for cube in cubes), None if store is None else str(store))
    return EndpointConfig(engine, seconds=60.0, rows=20_000, examples=(_FIRST, _NEAR_DANGER, *QUESTIONS.values()))


def _listen(host: str, port: int | None) -> socket.socket:
    """Return a socket that listens at a port, or, if none was asked for, at the usual one or any that is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for wanted in (_PORT, 0) if port is None else (port,):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, wanted))
        except OSError as error:
            listener.close()
            problem = error
            continue
        listener.set_inheritable(True)
        return listener
    raise PlatformError(f"cannot listen at {host}:{port or _PORT}: {problem}; choose another with --port (0 for any)")


def _show(address: str, print_only: bool) -> None:
    if print_only or not webbrowser.open(address):
        click.echo(address)
