"""Objects written to S3 whole or not at all: a file system for DuckDB, whose files are uploads in parts.

DuckDB's own writer completes an object even if its COPY fails, so that half of the rows would stand under the name.
Here an upload is completed only after the COPY has succeeded; an error or an interruption aborts it, and leaves nothing.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import fsspec

from sspcloud_magics.errors import CredentialsNotFound, LoginRefused, SspcloudError
from sspcloud_magics.lake.s3_access import S3Access, find_access
from sspcloud_magics.lake.s3_client import Answer, read_tag, request

PART_BYTES = 16 << 20
"""The size of the first parts. Memory holds two of them: one that is sent, and one that is filled."""

# An object has at most 10,000 parts: each thousand makes them larger, so that one of 880 GiB is possible.
_GROWS_AFTER = 1000
# Parts of several objects that are sent at the same time.
_SENDERS = 4
# Seconds that parts get to end before their uploads are aborted, and that this gets.
_PATIENCE = 5.0


class Uploads(fsspec.AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """The file system. Its paths begin with the name of a batch, and nothing can be read."""

    protocol = "sspcloud-upload"
    cachable = False

    def __init__(self) -> None:
        super().__init__()
        # The batches that are being written, by name.
        self._batches: dict[str, Batch] = {}

    @contextmanager
    def batch(self, access: S3Access) -> Iterator[Batch]:
        """Complete the objects that DuckDB writes in the block at its end; abort all of them after an error."""
        name = secrets.token_hex(8)
        made = self._batches[name] = Batch(access, f"{self.protocol}://{name}/")
        try:
            yield made
            made.complete()
        except BaseException as error:
            made.abort()
            if made.failure is not None and isinstance(error, Exception):
                raise made.failure from None
            raise
        finally:
            del self._batches[name]

    def open(self, path: str, mode: str = "rb", **_options: Any) -> Any:  # noqa: ARG002 - DuckDB's call
        """Begin an object."""
        name, _unused, place = path.removeprefix(f"{self.protocol}://").partition("/")
        return self._batches[name].begin(place)

    def ls(self, path: str, detail: bool = True, **_options: Any) -> list[Any]:  # noqa: ARG002 - fsspec's
        """Return nothing: whether objects exist is looked up before."""
        return []

    def isfile(self, path: str) -> bool:  # noqa: ARG002 - fsspec's
        """Return False."""
        return False

    isdir = exists = isfile

    def mkdir(self, path: str, create_parents: bool = True, **_options: Any) -> None:
        """Do nothing: S3 has no folders."""


class Batch:
    """The objects of one COPY.

    Parameters
    ----------
    access
        The server and the keys.
    prefix
        What precedes bucket and key in DuckDB's paths.
    """

    def __init__(self, access: S3Access, prefix: str) -> None:
        self.access = access
        self._prefix = prefix
        # The first refusal of the server; DuckDB keeps only its text.
        self.failure: SspcloudError | None = None
        # Whether the objects are completed or aborted, so that nothing may be written any more.
        self.is_over = False
        self.objects: list[_Object] = []
        self.senders = ThreadPoolExecutor(_SENDERS, thread_name_prefix="sspcloud-s3")
        # Held while an object begins, or while no more may.
        self._lock = threading.Lock()

    def place_of(self, address: str) -> str:
        """Return DuckDB's path for an address ``s3://bucket/key``."""
        return self._prefix + address.removeprefix("s3://")

    @property
    def size(self) -> int:
        """The number of bytes written."""
        return sum(each.size for each in self.objects)

    def begin(self, path: str) -> _Object:
        """Begin an object."""
        with self._lock:
            if self.is_over:
                raise OSError("The upload has ended.")
            self.objects.append(_Object(self, path))
            return self.objects[-1]

    def send(
        self, method: str, path: str, query: dict[str, str], body: bytes | bytearray = b"", **limits: Any
    ) -> Answer:
        """Send a request, with new keys if the server refuses those of the batch and there are others; keep its error."""
        used = self.access
        try:
            return request(used, method, path, query, body, **limits)
        except SspcloudError as error:
            if isinstance(error, LoginRefused) and self._renew_keys(used):
                return self.send(method, path, query, body, **limits)
            self.failure = self.failure or error
            raise

    def _renew_keys(self, refused: S3Access) -> bool:
        """Read the keys again, and return whether they differ from those that the server refused."""
        with suppress(CredentialsNotFound):
            found = find_access()
            self.access = replace(self.access, key=found.key, secret=found.secret, token=found.token)
        return self.access != refused

    def complete(self) -> None:
        """Make the objects appear."""
        with self._lock:
            self.is_over = True
        for each in self.objects:
            each.finish()
        for each in self.objects:
            each.complete()
        self.senders.shutdown(wait=False)

    def abort(self) -> None:
        """Leave nothing: abort the uploads that are not complete."""
        with self._lock:
            self.is_over = True
        self.senders.shutdown(wait=False, cancel_futures=True)
        wait([part for each in self.objects for part in each.parts], _PATIENCE)
        for each in self.objects:
            each.abort()


class _Object:
    """An object that is being written, as DuckDB and fsspec expect of a file."""

    closed = False
    mode = "wb"

    def __init__(self, batch: Batch, path: str) -> None:
        self._batch = batch
        self.path = path
        self._filled = bytearray()
        # The name of the upload; None before its first part, and after its end.
        self._upload: str | None = None
        # The ETags of the parts.
        self.parts: list[Future[str]] = []
        self.size = 0

    def write(self, data: bytes) -> int:
        """Append bytes."""
        self._filled += data
        self.size += len(data)
        if len(self._filled) >= PART_BYTES * (1 + len(self.parts) // _GROWS_AFTER):
            self._send_part()
        return len(data)

    def readable(self) -> bool:
        """Return False."""
        return False

    seekable = readable

    def writable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the number of bytes so far."""
        return self.size

    def flush(self) -> None:
        """Do nothing: a part has a least size."""

    def close(self) -> None:
        """Send the last part; the object does not appear yet."""
        if not self.closed:
            self.closed = True
            self._send_part()

    def _send_part(self) -> None:
        if self._batch.is_over:
            raise OSError("The upload has ended.")
        if self._upload is None:
            self._upload = read_tag(self._batch.send("POST", self.path, {"uploads": ""}).body, "UploadId")
        if self.parts:
            self.parts[-1].result()
        place = {"partNumber": str(len(self.parts) + 1), "uploadId": self._upload}
        body, self._filled = self._filled, bytearray()
        self.parts.append(self._batch.senders.submit(self._put, place, body))

    def _put(self, place: dict[str, str], body: bytearray) -> str:
        return self._batch.send("PUT", self.path, place, body).etag

    def finish(self) -> None:
        """Wait for the last part."""
        if not self.closed:
            raise OSError("DuckDB has not closed a file.")
        self.parts[-1].result()

    def complete(self) -> None:
        """Make the object appear."""
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{part.result()}</ETag></Part>"
            for number, part in enumerate(self.parts, 1)
        )
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>"
        self._batch.send("POST", self.path, {"uploadId": self._upload or ""}, body.encode())
        self._upload = None

    def abort(self) -> None:
        """Abort the upload."""
        if self._upload is not None:
            with suppress(SspcloudError):
                asked = {"uploadId": self._upload}
                self._batch.send("DELETE", self.path, asked, attempts=1, timeout=_PATIENCE)
