"""``deepcube open``: the atlas of cubes and predictions, or the console of the platform, in a browser."""

from __future__ import annotations

import socket
import webbrowser
from pathlib import Path

import click

from deepcube.embedded import Home
from deepcube.embedded import find as find_server
from jobs.cli.errors import PlatformError
from jobs.cli.platform import home_option, resolve_home
from jobs.cli.semantics import told

_PORT = 8891


@click.command(name="open")
@click.argument("cubes", nargs=-1)
@home_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address that the atlas listens at.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=None, help=f"Its port (default: {_PORT}, or a free one)."
)
@click.option("--print", "print_only", is_flag=True, help="Print the address instead of opening a browser.")
@told
def open_atlas(cubes: tuple[str, ...], home: Path | None, host: str, port: int | None, print_only: bool) -> None:
    """Show CUBES on a map in a browser, signed in, until Ctrl-C; without CUBES, the console of the platform.

    The address that is opened signs in once and only for a short while. The key for programs and for further browsers
    is in the file `atlas.key` of the home folder.
    """
    if not cubes:
        _open_console(resolve_home(home), print_only)
        return
    _serve(cubes, resolve_home(home), host, port, print_only)


def _open_console(root: Path, print_only: bool) -> None:
    if find_server(root) is None:
        raise PlatformError(f"no server runs for {root}; start it with `deepcube up`, or name a cube to show")
    from deepcube.embedded.console.session import one_time_url  # the console is heavy, the other commands are not

    _show(one_time_url(Home(root)), print_only)


def _serve(cubes: tuple[str, ...], root: Path, host: str, port: int | None, print_only: bool) -> None:
    import uvicorn

    from deepcube.atlas import Atlas, AtlasConfig, Sessions, build_app, read_key
    from deepcube.cubes import open_cube

    atlas = Atlas([open_cube(cube) for cube in cubes])
    key_file = root / "atlas.key"
    sessions = Sessions(read_key(key_file))
    listener = _listen(host, port)
    named = listener.getsockname()[1]
    hosts = () if host in ("127.0.0.1", "localhost", "::1", "0.0.0.0") else (host,)
    running = find_server(root)
    links = {} if running is None else {"Console": f"{running.url}/console"}
    app = build_app(AtlasConfig(atlas, sessions, named, hosts, links))
    click.echo(f"atlas: http://{host}:{named}/ (key in {key_file}); Ctrl-C ends it")
    _show(f"http://{host}:{named}/enter?token={sessions.ticket()}", print_only)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=2, server_header=False
    )
    uvicorn.Server(config).run(sockets=[listener])


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
