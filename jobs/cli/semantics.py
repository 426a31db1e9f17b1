"""``deepcube query`` and ``deepcube semantics ...``: ask cubes and linked data in SPARQL."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from jobs.cli.connect import connect
from jobs.cli.platform import home_option, resolve_home

if TYPE_CHECKING:
    from deepcube.semantics import Answer, SemanticCube
    from deepcube.semantics.terms import Term

_FORMATS = ("table", "json", "xml", "csv", "tsv", "geojson", "ttl", "nt", "rdf", "jsonld")
_SHOWN_ROWS = 1000

_Function = TypeVar("_Function", bound=Callable[..., None])


def told(function: _Function) -> _Function:
    """Turn what a user can mend in a command into one message and exit status 1."""

    @wraps(function)
    def command(*arguments: Any, **options: Any) -> None:
        try:
            function(*arguments, **options)
        except click.ClickException:
            raise
        except Exception as error:
            if isinstance(error, _expected()):
                raise click.ClickException(str(error)) from error
            raise

    return cast(_Function, command)


def _expected() -> tuple[type[Exception], ...]:
    """Return what a user can mend; cubes are slow to import, and where they were not, none of their errors came."""
    from deepcube.semantics import SemanticsError

    if "deepcube.cubes" not in sys.modules:
        return (SemanticsError,)
    from deepcube.cubes import CubeError

    return SemanticsError, CubeError


_cubes = click.option("--cube", "cubes", multiple=True, help="A cube to ask: Zarr, NetCDF or GeoTIFF; may be repeated.")
_mappings = click.option(
    "--mapping", "mappings", multiple=True, help="Mapping file of the cube at the same place; default CUBE.mapping.ttl."
)
_store = click.option(
    "--store",
    type=click.Path(path_type=Path),
    default=None,
    help="Folder of linked data; see `semantics load`.",
)
_data = click.option(
    "--data", multiple=True, type=click.Path(path_type=Path), help="File of linked data, for now only."
)
_timeout = click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), default=None, help="Seconds it may take."
)
_most = click.option(
    "--max-values", type=click.IntRange(min=1), default=100_000_000, show_default=True, help="Values it may read."
)


@click.command()
@click.argument("query", required=False)
@click.option("-f", "--file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="File of the query.")
@_cubes
@_mappings
@_store
@_data
@click.option("--explain", is_flag=True, help="Show which chunks would be read and why, and read none.")
@click.option("--format", "form", type=click.Choice(_FORMATS), default=None, help="Default: table, or ttl for triples.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=None, help="Write the answer to a file.")
@click.option("--force", is_flag=True, help="Read as many values as it takes.")
@_most
@_timeout
@told
def query(
    query: str | None,
    file: Path | None,
    cubes: tuple[str, ...],
    mappings: tuple[str, ...],
    store: Path | None,
    data: tuple[Path, ...],
    explain: bool,
    form: str | None,
    output: Path | None,
    force: bool,
    max_values: int,
    timeout: float | None,
) -> None:
    """Answer a SPARQL 1.1 QUERY (or one in a file, or from standard input) over cubes and linked data.

    The usual prefixes (sosa, geo, geof, dcube, var, ...) need not be declared.
    """
    from deepcube.semantics import Limits

    if query is None and file is None and sys.stdin.isatty():
        raise click.UsageError("There is no query: give one in quotes, a file with -f, or pipe it in.")
    text = query if query is not None else file.read_text() if file is not None else sys.stdin.read()
    engine = _engine(cubes, mappings, store, data)
    answer = engine.query(text, Limits(cells=max_values, seconds=timeout, force=force), explain=explain)
    if explain:
        for _ in _drain(answer):
            pass
        click.echo(answer.plan.text())
        return
    for note in answer.plan.notes:
        click.echo(f"Note: {note}", err=True)
    _write(answer, form, output)


@click.group()
def semantics() -> None:
    """Linked data, mappings and the SPARQL endpoint of cubes."""


@semantics.command(name="map")
@click.argument("cube")
@told
def map_cube(cube: str) -> None:
    """Print the default mapping of CUBE as Turtle, to be edited and saved as CUBE.mapping.ttl."""
    from deepcube.cubes import open_cube
    from deepcube.semantics import default_mapping, write_mapping

    opened = open_cube(cube)  # not as a source: a shell has emptied the mapping beside it by now, if that is the target
    click.echo(write_mapping(default_mapping(opened.name, opened.variables)), nl=False)


@semantics.command(name="index")
@click.argument("cube")
@click.option("--mapping", default=None, help="Mapping file; default CUBE.mapping.ttl.")
@told
def index_cube(cube: str, mapping: str | None) -> None:
    """Read CUBE once and keep the least and greatest value of every chunk beside it, so that queries skip chunks."""
    from rich.progress import Progress

    from deepcube.semantics import CubeSource
    from deepcube.semantics.statistics import compute_statistics, write_statistics

    source = CubeSource(cube, mapping)
    with Progress(transient=True) as bars:
        for variable in source.variables.values():
            array = variable.array
            chunks = 1
            for length, chunk in zip(array.shape, array.chunks, strict=True):
                chunks *= -(-length // chunk)
            bar = bars.add_task(variable.name, total=chunks)
            found = compute_statistics(array, lambda bar=bar: bars.advance(bar))  # type: ignore[misc]
            path = write_statistics(source.path, variable.grid.name, variable.name, array, found)
            click.echo(f"{variable.name}: {chunks:,} chunks, {path}")


@semantics.command(name="load")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--store", type=click.Path(path_type=Path), required=True, help="Folder of linked data; made if missing.")
@click.option("--type", "kind", default=None, help="What its features are, such as Hospital.")
@click.option("--name", default=None, help="Name of the data set in the IRIs of its features; default the file's.")
@click.option("--graph", default=None, help="IRI of a named graph to load into.")
@told
def load(files: tuple[Path, ...], store: Path, kind: str | None, name: str | None, graph: str | None) -> None:
    """Load FILES of linked data: RDF, GeoJSON, TopoJSON, shapefiles, OpenStreetMap extracts (PBF), CSV with places."""
    from deepcube.semantics import VectorStore
    from deepcube.semantics.loading import load_file

    vector = VectorStore(store)
    for path in files:
        left_out: Counter[str] = Counter()
        count = vector.add(load_file(path, kind=kind, name=name, graph=graph, left_out=left_out))
        click.echo(f"{path}: {count:,} triples")
        for reason, number in left_out.items():
            if number:
                click.echo(f"  left out: {number:,} {reason}")


def _engine(
    cubes: tuple[str, ...], mappings: tuple[str, ...], store: Path | None, data: tuple[Path, ...]
) -> SemanticCube:
    from deepcube.semantics import CubeSource, SemanticCube, VectorStore

    if len(mappings) > len(cubes):
        raise click.UsageError(f"{len(mappings)} mappings for {len(cubes)} cubes; name the cubes in the same order.")
    if store is not None and not store.exists():
        raise click.UsageError(f"There is no linked data at {store}; load some with `deepcube semantics load`.")
    sources = [CubeSource(cube, mappings[i] if i < len(mappings) else None) for i, cube in enumerate(cubes)]
    vector = VectorStore(store, read_only=True) if store is not None else VectorStore()
    if data:
        from deepcube.semantics.loading import load_file

        vector = vector.copied()
        for path in data:
            vector.add(load_file(path))
    return SemanticCube(sources, vector)


def _drain(answer: Answer) -> Iterator[Any]:
    yield from answer.triples if answer.triples is not None else answer.rows


def _write(answer: Answer, form: str | None, output: Path | None) -> None:
    """Write an answer to the terminal, or whole or not at all to a file."""
    if output is None:
        for part in _parts(answer, form, answer.kind == "bindings" and form in (None, "table")):
            click.echo(part, nl=False)
        return
    temporary = output.with_name(f".{output.name}.part")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            for part in _parts(answer, form or output.suffix.lstrip("."), False):
                file.write(part)
        temporary.replace(output)
    finally:
        temporary.unlink(missing_ok=True)


def _parts(answer: Answer, form: str | None, as_table: bool) -> Iterator[str]:
    from deepcube.semantics import GRAPH_FORMATS, TABLE_FORMATS, write_triples

    if answer.triples is not None:
        name = form or "ttl"
        if name not in GRAPH_FORMATS:
            raise click.UsageError(f"The answer is triples; {name!r} is no form of them: {', '.join(GRAPH_FORMATS)}.")
        return write_triples(answer.triples, name)
    if as_table:
        return _table(answer)
    if answer.truth is not None and form in (None, "table"):
        return iter([f"{str(answer.truth).lower()}\n"])
    if form not in TABLE_FORMATS:
        raise click.UsageError(f"The answer is a table; {form!r} is none of its forms: {', '.join(TABLE_FORMATS)}.")
    return TABLE_FORMATS[form][1](answer)


def _table(answer: Answer) -> Iterator[str]:
    from rich.console import Console
    from rich.table import Table

    table, count = Table(), 0
    for name in answer.variables:
        table.add_column(name, overflow="fold")
    for row in answer.rows:
        count += 1
        if count <= _SHOWN_ROWS:
            table.add_row(*("" if term is None else _short(term) for term in row))
    console = Console()
    with console.capture() as captured:
        console.print(table)
    yield captured.get()
    rest = f", {count - _SHOWN_ROWS:,} not shown; use --format csv or --output" if count > _SHOWN_ROWS else ""
    yield f"{count:,} {'row' if count == 1 else 'rows'}{rest}\n"


def _short(term: Term) -> str:
    """Return a term for a table: prefixed names, numbers of seven digits, no more than a line or two of text."""
    from pyoxigraph import Literal

    from deepcube.semantics.vocabulary import CUBE_BASE, PREFIXES, XSD

    text = term.value
    if isinstance(term, Literal):
        number = term.datatype.value in (XSD + "double", XSD + "float", XSD + "decimal")
        return f"{float(text):.7g}" if number else text if len(text) <= 80 else text[:77] + "..."
    for prefix, namespace in PREFIXES.items():
        local = text.removeprefix(namespace)
        if local != text and local and "/" not in local:
            return f"{prefix}:{local}"
    return text.removeprefix(CUBE_BASE.removesuffix("cube/"))


@semantics.command(name="questions")
@click.argument("name", required=False)
def questions(name: str | None) -> None:
    """Print the worked question NAME, ready for `deepcube query -f`; without it, list those there are."""
    from deepcube.semantics.questions import QUESTIONS

    if name is None:
        for key, (title, _) in QUESTIONS.items():
            click.echo(f"{key:10} {title}")
        return
    if name not in QUESTIONS:
        raise click.UsageError(f"There is no question {name!r}; there are {', '.join(QUESTIONS)}.")
    click.echo(QUESTIONS[name][1], nl=False)


@semantics.command(name="serve")
@_cubes
@_mappings
@_store
@_data
@_most
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(1, 65535), default=8890, show_default=True, help="Port to listen at.")
@click.option("--key-file", type=click.Path(path_type=Path), default=None, help="File of the key; made if missing.")
@click.option("--no-key", is_flag=True, help="Let everybody who can reach the port ask.")
@click.option(
    "--timeout", type=click.FloatRange(min=0.1), default=30.0, show_default=True, help="Seconds a query may take."
)
@click.option("--max-rows", type=click.IntRange(min=1), default=100_000, show_default=True, help="Rows of an answer.")
@click.option("--stated-first", is_flag=True, help="Take stated relations as stated; compute only what is not stated.")
@click.option("--workers", type=click.IntRange(1, 32), default=1, show_default=True, help="Queries answered at once.")
@told
def serve(
    cubes: tuple[str, ...],
    mappings: tuple[str, ...],
    store: Path | None,
    data: tuple[Path, ...],
    max_values: int,
    host: str,
    port: int,
    key_file: Path | None,
    no_key: bool,
    timeout: float,
    max_rows: int,
    stated_first: bool,
    workers: int,
) -> None:
    """Serve a read-only SPARQL 1.1 endpoint at /sparql and a query page at /, until Ctrl-C."""
    import uvicorn

    from deepcube.embedded import default_home
    from deepcube.semantics.endpoint import EndpointConfig, build_app, read_key
    from deepcube.semantics.questions import examples
    from deepcube.semantics.workers import EngineConfig

    opened = _engine(cubes, mappings, store, data)  # whatever is wrong is said now, not at the first query
    pairs = tuple((cube, mappings[i] if i < len(mappings) else None) for i, cube in enumerate(cubes))
    engine = EngineConfig(pairs, None if store is None else str(store), tuple(map(str, data)), max_values, stated_first)
    key, path = None, key_file or default_home() / "semantics.key"
    if not no_key:
        key = read_key(path)
        click.echo(f"key: in {path}")
    config = EndpointConfig(engine, key, timeout, max_rows, workers, examples(opened))
    click.echo(f"SPARQL endpoint: http://{host}:{port}/sparql, query page: http://{host}:{port}/")
    uvicorn.run(build_app(config), host=host, port=port, log_level="warning")


@semantics.command(name="catalogue")
@_cubes
@_mappings
@click.option(
    "--feature-group", "groups", multiple=True, metavar="NAME:VERSION", help="A feature group of the platform."
)
@click.option("--format", "form", type=click.Choice(["ttl", "nt", "rdf", "jsonld"]), default="ttl", show_default=True)
@home_option
@told
def catalogue(
    cubes: tuple[str, ...], mappings: tuple[str, ...], groups: tuple[str, ...], form: str, home: Path | None
) -> None:
    """Print the catalogue of cubes and feature groups as DCAT with STAC terms."""
    from deepcube.semantics import CubeSource, write_triples
    from deepcube.semantics.catalogue import catalogue as described

    sources = [CubeSource(cube, mappings[i] if i < len(mappings) else None) for i, cube in enumerate(cubes)]
    held = [_feature_group(text, home) for text in groups]
    for part in write_triples(described(sources, held), form):
        click.echo(part, nl=False)


@semantics.command(name="load-features")
@click.argument("group", metavar="NAME:VERSION")
@click.option("--store", type=click.Path(path_type=Path), required=True, help="Folder of linked data; made if missing.")
@click.option("--type", "kind", default=None, help="What a row is, such as Displacement.")
@click.option("--key", default=None, help="Column that identifies rows; default the number of the row.")
@home_option
@told
def load_features(group: str, store: Path, kind: str | None, key: str | None, home: Path | None) -> None:
    """Load the rows of a feature group, features or predictions, as linked data through the Hopsworks client."""
    import pyoxigraph as ox

    from deepcube.semantics import VectorStore
    from deepcube.semantics.feature_triples import feature_triples, frame_features

    held = _feature_group(group, home)
    frame = held.read()
    if key is not None and key not in frame.columns:
        raise click.UsageError(f"{group} has no column {key!r}; it has {', '.join(map(str, frame.columns))}.")
    triples = feature_triples(frame_features(frame, key), held.name, kind)
    count = VectorStore(store).add(ox.Quad(s, p, o) for s, p, o in triples)
    click.echo(f"{group}: {count:,} triples")


def _feature_group(text: str, home: Path | None) -> Any:
    """Return the feature group that ``NAME:VERSION`` names, through the Hopsworks client."""
    name, _, version = text.partition(":")
    if not version.isdigit():
        raise click.UsageError(f"Found {text!r}; expected NAME:VERSION, such as displacement:1.")
    project = connect(resolve_home(home), home is not None).project
    group = project.get_feature_store().get_feature_group(name, version=int(version))
    if group is None:
        raise click.UsageError(f"There is no feature group {name} of version {version}.")
    return group
