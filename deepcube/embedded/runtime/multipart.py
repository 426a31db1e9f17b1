"""A multipart form read as it arrives: short fields into memory, the one file straight to disk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from deepcube.embedded.errors import GENERIC_ILLEGAL_ARGUMENT, ApiError, bad_request

_MAX_FIELD_BYTES = 64 * 1024


class FormFile:
    """Takes the parts of one form: text fields and a single file.

    Parameters
    ----------
    content_type : str
        Value of the request's ``Content-Type`` header, with the boundary.
    target : Path
        Where the content of the file part is written; made only if there is one.
    max_bytes : int
        Most bytes that the file part may have.

    Attributes
    ----------
    fields : dict of str to str
        The text fields read so far.
    length : int
        Bytes of the file part read so far; -1 before there is a file part.

    Raises
    ------
    ApiError
        If the request is not a multipart form.
    """

    def __init__(self, content_type: str, target: Path, max_bytes: int) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or b"boundary" not in options:
            raise bad_request(f"an upload is a multipart form, found content type {content_type!r}")
        self.fields: dict[str, str] = {}
        self.length = -1
        self._target = target
        self._max_bytes = max_bytes
        self._file: BinaryIO | None = None
        self._field_bytes = 0
        self._header_name, self._header_value = b"", b""
        self._disposition: dict[bytes, bytes] = {}
        self._value = b""
        self._is_file = False
        self._parser = MultipartParser(options[b"boundary"], self._callbacks())

    async def read(self, stream: AsyncIterator[bytes]) -> None:
        """Read the whole body.

        Raises
        ------
        ApiError
            If the body is damaged, or larger than allowed (HTTP 413).
        """
        try:
            async for chunk in stream:
                self._parser.write(chunk)
            self._parser.finalize()
        except FormParserError as error:
            raise bad_request(f"the upload's multipart form is damaged: {error}") from None
        finally:
            if self._file is not None:
                self._file.close()

    def _callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_data,
            "on_part_end": self._end,
        }

    def _begin(self) -> None:
        self._disposition = {}
        self._value = b""
        self._is_file = False

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]
        self._count(end - start)

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]
        self._count(end - start)

    def _on_header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = parse_options_header(self._header_value)[1]
        self._header_name, self._header_value = b"", b""

    def _on_headers_finished(self) -> None:
        self._is_file = b"filename" in self._disposition
        if self._is_file:
            if self.length >= 0:
                raise bad_request("an upload carries one file part, found a second one")
            self.length = 0
            self._file = self._target.open("wb")

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if not self._is_file:
            self._count(end - start)
            self._value += data[start:end]
            return
        assert self._file is not None
        self.length += end - start
        if self.length > self._max_bytes:
            raise ApiError(
                413,
                GENERIC_ILLEGAL_ARGUMENT,
                f"a chunk of an upload may have {self._max_bytes} bytes; upload with a smaller chunk_size",
            )
        self._file.write(memoryview(data)[start:end])

    def _end(self) -> None:
        if not self._is_file:
            name = self._disposition.get(b"name", b"").decode(errors="replace")
            self.fields[name] = self._value.decode(errors="replace")

    def _count(self, length: int) -> None:
        self._field_bytes += length
        if self._field_bytes > _MAX_FIELD_BYTES:
            raise bad_request(f"the fields of an upload's form may have {_MAX_FIELD_BYTES} bytes in all")
