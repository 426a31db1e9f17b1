"""Errors of the embedded Hopsworks.

::

    EmbeddedError                 anything that goes wrong in this package
    ├── StartError                the server cannot start (port taken, home locked, ...)
    ├── StorageError              the home folder cannot be read or written
    └── ApiError                  a call is answered with a Hopsworks error
        └── (built by the helpers bad_request, not_found, conflict, unsupported)
"""

from __future__ import annotations

from typing import Any


class EmbeddedError(Exception):
    """Root of every error that :mod:`deepcube.embedded` raises."""


class StartError(EmbeddedError):
    """The server cannot start; the message says why and what to do."""


class PortTakenError(StartError):
    """A port that was free when it was chosen is not any more; another start chooses another one."""

    EXIT_STATUS = 3
    """Exit status of the server, by which who started it knows."""


class StorageError(EmbeddedError):
    """The home folder cannot be read or written."""


class ApiError(EmbeddedError):
    """A request that is answered with a Hopsworks error document.

    Parameters
    ----------
    status : int
        HTTP status.
    code : int
        Hopsworks error code; the client decides on it (270009, say, means "no such feature group").
    message : str
        What was found, what was expected and what to do.
    """

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    def document(self) -> dict[str, Any]:
        """Return the JSON document that Hopsworks would answer."""
        return {"errorCode": self.code, "errorMsg": self.message, "usrMsg": self.message}


# Hopsworks error codes that the client tests for, or that name a family of errors.
GENERIC_ILLEGAL_ARGUMENT = 120001
GENERIC_INTERNAL = 120000
GENERIC_UNSUPPORTED = 120006
UNAUTHORIZED = 200003
FORBIDDEN = 150068
VARIABLE_NOT_FOUND = 100042
PROJECT_NOT_FOUND = 150004
PROJECT_EXISTS = 150001
PROJECT_NAME_INVALID = 150003
MEMBER_NOT_FOUND = 150022
USER_NOT_FOUND = 160002
USER_EXISTS = 160003
DATASET_NOT_FOUND = 110011
PATH_NOT_FOUND = 110018
PATH_EXISTS = 110016
PATH_OUTSIDE_PROJECT = 110006
JOB_NOT_FOUND = 130009
EXECUTION_NOT_FOUND = 130010
JOB_START_FAILED = 130024
SERVING_NOT_FOUND = 240000
SERVING_NOT_RUNNING = 250001
INFERENCE_FAILED = 250002
FEATURE_GROUP_NOT_FOUND = 270009
FEATURE_GROUP_EXISTS = 270089
TRAINING_DATASET_NOT_FOUND = 270012
CONNECTOR_NOT_FOUND = 270042
TRANSFORMATION_NOT_FOUND = 270160
FEATURE_VIEW_NOT_FOUND = 270181
FEATURE_VIEW_EXISTS = 270179
STATISTICS_NOT_FOUND = 270228
LOGGING_NOT_ENABLED = 270248
QUERY_FAILED = 270120
MODEL_NOT_FOUND = 360000
TAG_NOT_FOUND = 370002


def bad_request(message: str, code: int = GENERIC_ILLEGAL_ARGUMENT) -> ApiError:
    """Build the error for a request whose content is wrong (HTTP 400)."""
    return ApiError(400, code, message)


def not_found(message: str, code: int) -> ApiError:
    """Build the error for something that does not exist (HTTP 404)."""
    return ApiError(404, code, message)


def conflict(message: str, code: int) -> ApiError:
    """Build the error for something that exists already (HTTP 400, as Hopsworks answers it)."""
    return ApiError(400, code, message)


def unsupported(call: str, reason: str) -> ApiError:
    """Build the error for a call that the embedded platform does not offer (HTTP 501).

    Parameters
    ----------
    call : str
        The call as a user of the client would name it.
    reason : str
        Why it is not offered and what to use instead.
    """
    return ApiError(501, GENERIC_UNSUPPORTED, f"{call} is not supported by the embedded Hopsworks: {reason}")
