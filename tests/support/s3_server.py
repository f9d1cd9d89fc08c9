"""A real S3 server, moto's, in a folder of its own below ``build/``: it needs other versions of what the package needs."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from tests.support.ports import free_port
from tests.support.waiting import wait_until

FOLDER = Path(__file__).resolve().parent.parent.parent / "build" / "s3"
PACKAGES = ("moto[s3]==5.2.5", "flask==3.1.3", "flask-cors==6.0.5")


@dataclass(frozen=True)
class S3Server:
    """Where the server listens, and its process."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a service of the datalab."""
        return {
            "AWS_ACCESS_KEY_ID": "key-of-alice",
            "AWS_SECRET_ACCESS_KEY": "canary-secret-of-s3",
            "AWS_SESSION_TOKEN": "canary-token-of-s3",
            "AWS_S3_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def make_bucket(self, name: str) -> None:
        """Create a bucket."""
        self._request("PUT", name)

    def keys(self, bucket: str) -> list[str]:
        """Return the names of the objects in a bucket."""
        return self._list(f"{bucket}?list-type=2", "Key")

    def uploads(self, bucket: str) -> list[str]:
        """Return the names of the uploads that are neither completed nor ended."""
        return self._list(f"{bucket}?uploads", "Key")

    def _list(self, path: str, name: str) -> list[str]:
        return re.findall(f"<{name}>(.*?)</{name}>", self._request("GET", path).decode())

    def _request(self, method: str, path: str) -> bytes:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{path}", method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bytes(answer.read())


def _install() -> Path:
    FOLDER.parent.mkdir(exist_ok=True)
    ready = FOLDER / "complete"
    with FileLock(FOLDER.with_suffix(".lock")):
        if not ready.exists():
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, "--target", str(FOLDER), *PACKAGES], check=True, stdin=subprocess.DEVNULL)
            ready.touch()
    return FOLDER


@contextlib.contextmanager
def start_s3() -> Iterator[S3Server]:
    """Run an S3 server without buckets."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env={**os.environ, "PYTHONPATH": str(_install())},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    server = S3Server(port, process)
    try:
        wait_until(lambda: _answers(server))
        yield server
    finally:
        process.kill()
        process.wait()


def _answers(server: S3Server) -> bool:
    assert server.process.poll() is None
    with contextlib.suppress(urllib.error.URLError, ConnectionError):
        server._request("GET", "moto-api/")
        return True
    return False
