"""Serve one predictor or transformer script; run as a script of its own by the embedded server.

The user's code runs in the main thread, one call after the other, as in a plain script; HTTP is spoken by a second
thread, on a Unix socket that only this user can reach. A ``predict`` that is a coroutine function runs in the second
thread's event loop instead, many at a time. The socket appears when the script is loaded: then it is ready.

Requests and responses are those of KServe's v1 protocol: ``{"instances": [...]}`` (or ``inputs``) is answered with
``{"predictions": [...]}``; further keys of a request are handed to ``predict`` as keyword arguments if it takes them.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import inspect
import json
import math
import os
import queue
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_CLASSES = {"predictor": "Predict", "transformer": "Transformer"}
_BAD_INPUT = (ValueError, TypeError, KeyError)
_INFERENCE_FAILED = 250002


def encode(value: Any) -> bytes:
    """Write a value as JSON; arrays, frames and numpy's numbers as lists and numbers, what is not finite as null."""
    try:
        return json.dumps(value, default=_plain, allow_nan=False).encode()
    except ValueError:
        return json.dumps(_finite(json.loads(json.dumps(value, default=_plain)))).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, (set, tuple)):
        return list(value)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if hasattr(value, "to_dict") and hasattr(value, "columns"):  # a data frame: a list of rows
        return value.to_dict("records")
    for method in ("tolist", "isoformat"):
        if hasattr(value, method):
            return getattr(value, method)()
    if hasattr(value, "numpy"):  # a tensor
        return value.numpy().tolist()
    raise TypeError(f"a result of type {type(value).__name__} cannot be written as JSON; return lists and numbers")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(content) for key, content in value.items()}
    if isinstance(value, list):
        return [_finite(content) for content in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def failure(error: BaseException) -> tuple[int, dict[str, Any]]:
    """Return status and document for an exception of the user's code.

    What a predictor says of its input (``ValueError``, ``TypeError``, ``KeyError``) is the caller's mistake, status
    400; an exception that carries a status of its own keeps it; all else is status 500.
    """
    status = getattr(error, "status_code", None)
    detail = getattr(error, "detail", None)
    if isinstance(status, int) and 400 <= status < 600:
        message = detail.get("message") if isinstance(detail, dict) else str(detail or error)
    else:
        status, detail = (400 if isinstance(error, _BAD_INPUT) else 500), None
        message = f"missing {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        if status == 500:
            message = f"{type(error).__name__}: {message}"
    document = {"errorCode": _INFERENCE_FAILED, "errorMsg": message, "usrMsg": message, "error": message}
    return status, document if detail is None else {**document, "detail": detail}


class MainThread:
    """Runs functions in the main thread for the event loop of another one."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any], Any]] = queue.SimpleQueue()

    async def run(self, function: Callable[[], Any]) -> Any:
        """Have a function run and return its result; called from the event loop."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._waiting.put((function, future, loop))
        return await future

    def serve_forever(self) -> None:
        """Run what is asked for; called in the main thread."""
        while True:
            function, future, loop = self._waiting.get()
            try:
                value, error = function(), None
            except Exception as raised:
                value, error = None, raised
            loop.call_soon_threadsafe(_settle, future, value, error)


def _settle(future: asyncio.Future[Any], value: Any, error: Exception | None) -> None:
    if future.cancelled():  # the caller has gone
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)


def load(script: Path, role: str) -> Any:
    """Import a script and make an instance of the class it defines for its role.

    The constructor may ask by name for ``deployment`` and ``model``, the client's objects; other parameters
    (``async_logger``) get None.

    Raises
    ------
    AttributeError
        If the script defines no such class.
    """
    sys.path.insert(0, str(script.parent))
    name = f"_{role}_script"
    specification = importlib.util.spec_from_file_location(name, script)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    kind = getattr(module, _CLASSES[role], None)
    if kind is None:
        raise AttributeError(f"{script.name} must define a class {_CLASSES[role]}")
    if kind.__init__ is object.__init__:
        return kind()
    parameters = list(inspect.signature(kind).parameters.values())
    needed = [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return kind(**{parameter.name: _constructor_argument(parameter.name) for parameter in needed})


def _constructor_argument(name: str) -> Any:
    if name not in ("deployment", "model", "project"):
        return None
    import hopsworks

    project = hopsworks.login()
    if name == "project":
        return project
    if name == "deployment":
        return project.get_model_serving().get_deployment(os.environ["DEPLOYMENT_NAME"])
    return project.get_model_registry().get_model(os.environ["MODEL_NAME"], int(os.environ["MODEL_VERSION"]))


def accepted_keywords(function: Callable[..., Any], offered: dict[str, Any]) -> dict[str, Any]:
    """Return those keyword arguments that a function takes beside its first parameter."""
    parameters = list(inspect.signature(function).parameters.values())
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return offered
    names = {p.name for p in parameters[1:] if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return {name: value for name, value in offered.items() if name in names}


class Service:
    """The HTTP face of one loaded script.

    Parameters
    ----------
    instance : object
        The user's ``Predict`` or ``Transformer``.
    name : str
        Name of the deployment.
    main : MainThread
        Runs the user's code.
    """

    def __init__(self, instance: Any, name: str, main: MainThread) -> None:
        self._instance = instance
        self._name = name
        self._main = main

    def app(self) -> Starlette:
        """Return the application."""
        return Starlette(
            routes=[
                Route("/v1/models/{name}", self._metadata, methods=["GET"]),
                Route("/{verb}", self._answer, methods=["POST"]),
            ]
        )

    async def _metadata(self, request: Request) -> Response:
        return Response(encode({"name": self._name, "ready": True}), media_type="application/json")

    async def _answer(self, request: Request) -> Response:
        verb = request.path_params["verb"]
        try:
            document = json.loads(await request.body())
            result = await self._verb(verb, document)
            content, status = encode(result), 200
        except Exception as error:
            status, problem = failure(error)
            print(f"{verb} is answered with status {status}: {problem['errorMsg']}", file=sys.stderr)
            if status >= 500:
                traceback.print_exception(error)
            sys.stderr.flush()
            content = encode(problem)
        return Response(content, status, media_type="application/json")

    async def _verb(self, verb: str, document: Any) -> Any:
        if verb == "predict":
            return await self._predict(document)
        function = getattr(self._instance, verb, None)
        return document if function is None else await self._call(function, document, {})

    async def _predict(self, document: Any) -> Any:
        if not isinstance(document, dict) or not ("instances" in document or "inputs" in document):
            raise ValueError('a request is an object with a list under "instances" (or "inputs")')
        key = "instances" if "instances" in document else "inputs"
        rest = {name: value for name, value in document.items() if name != key}
        function = self._instance.predict
        result = await self._call(function, document[key], accepted_keywords(function, rest))
        return result if isinstance(result, dict) else {"predictions": result}

    async def _call(self, function: Callable[..., Any], argument: Any, keywords: dict[str, Any]) -> Any:
        if inspect.iscoroutinefunction(function):
            return await function(argument, **keywords)
        return await self._main.run(lambda: function(argument, **keywords))


def listen(path: Path) -> socket.socket:
    """Return a socket that listens on a path, for this user only."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old_mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(old_mask)
    listener.listen(256)
    return listener


def serve(service: Service, path: Path) -> None:
    """Serve HTTP; does not return, and takes the process with it if it cannot."""
    import uvicorn

    config = uvicorn.Config(
        service.app(), log_config=None, access_log=False, lifespan="off", timeout_keep_alive=3600, ws="none"
    )
    try:
        uvicorn.Server(config).run(sockets=[listen(path)])
    except BaseException:
        traceback.print_exc()
    os._exit(1)


def main() -> None:
    """Load the script, then serve it until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--script", type=Path, required=True)
    parser.add_argument("--role", choices=sorted(_CLASSES), required=True)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--name", required=True)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))  # in the main thread, so exit hooks run
    instance = load(arguments.script, arguments.role)
    thread = MainThread()
    service = Service(instance, arguments.name, thread)
    threading.Thread(target=serve, args=(service, arguments.socket), daemon=True).start()
    print(f"{arguments.role} of {arguments.name} is ready", flush=True)
    thread.serve_forever()


if __name__ == "__main__":
    main()
