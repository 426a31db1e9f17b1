"""Serve one predictor or transformer script; run as a script of its own by the embedded server.

The user's code runs in the main thread, one call after the other, as in a plain script; a second thread answers the
server, on a Unix socket that only this user can reach. A ``predict`` that is a coroutine function runs in the second
thread's event loop instead, many at a time. The socket appears when the script is loaded: then it is ready.

On the socket, a request is a line ``<verb> <length>`` and that many bytes of JSON, an answer a line
``<status> <length>`` and its bytes, one after the other on a connection: what HTTP would say of them, at a tenth of
the cost. Verbs are ``predict``, ``preprocess`` and ``postprocess``. Requests and responses are those of KServe's v1
protocol: ``{"instances": [...]}`` (or ``inputs``) is answered with ``{"predictions": [...]}``; further keys of a
request are handed to ``predict`` as keyword arguments if it takes them.
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

_CLASSES = {"predictor": "Predict", "transformer": "Transformer"}
_BAD_INPUT = (ValueError, TypeError, KeyError)
_INFERENCE_FAILED = 250002


async def read_message(reader: asyncio.StreamReader) -> tuple[str, bytes] | None:
    """Read a message: its word (verb or status) and its content; None if the other side has gone.

    Raises
    ------
    ConnectionError
        If the other side goes in the middle, or says something else.
    """
    try:
        line = await reader.readuntil(b"\n")
        word, length = line.split()
        return word.decode(), await reader.readexactly(int(length))
    except asyncio.IncompleteReadError as error:
        if not error.partial and error.expected is None:
            return None
        raise ConnectionResetError("the connection ended in the middle of a message") from None
    except (ValueError, asyncio.LimitOverrunError) as error:
        raise ConnectionError(f"this is no message: {error}") from None


def message(word: str, content: bytes) -> bytes:
    """Return a message as it goes over the socket."""
    return b"%s %d\n%s" % (word.encode(), len(content), content)


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
    """Answers requests with one loaded script.

    Parameters
    ----------
    instance : object
        The user's ``Predict`` or ``Transformer``.
    main : MainThread
        Runs the user's code.
    """

    def __init__(self, instance: Any, main: MainThread) -> None:
        self._instance = instance
        self._main = main

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until it ends."""
        try:
            while (request := await read_message(reader)) is not None:
                status, content = await self.answer(*request)
                writer.write(message(str(status), content))
                await writer.drain()
        except ConnectionError:
            pass  # the server has gone, or gave up waiting
        finally:
            writer.close()

    async def answer(self, verb: str, body: bytes) -> tuple[int, bytes]:
        """Answer one request.

        Returns
        -------
        status : int
            As of HTTP.
        content : bytes
            JSON: the result, or what went wrong.
        """
        try:
            return 200, encode(await self._verb(verb, json.loads(body)))
        except Exception as error:
            status, problem = failure(error)
            print(f"{verb} is answered with status {status}: {problem['errorMsg']}", file=sys.stderr)
            if status >= 500:
                traceback.print_exception(error)
            sys.stderr.flush()
            return status, encode(problem)

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
    """Answer on a socket; does not return, and takes the process with it if it cannot go on."""

    async def serve_forever() -> None:
        server = await asyncio.start_unix_server(service.converse, sock=listen(path))
        await server.serve_forever()

    try:
        asyncio.run(serve_forever())
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
    service = Service(instance, thread)
    threading.Thread(target=serve, args=(service, arguments.socket), daemon=True).start()
    print(f"{arguments.role} of {arguments.name} is ready", flush=True)
    thread.serve_forever()


if __name__ == "__main__":
    main()
