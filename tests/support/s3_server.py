"""A real S3 server, moto's, in a folder of its own below ``build/``: it needs other versions of what the package needs."""

from __future__ import annotations

import contextlib
import html
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
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

    @contextlib.contextmanager
    def check_keys(self) -> Iterator[None]:
        """Refuse requests with unknown keys or a wrong signature, while the block runs."""
        self._ignore_keys_of("0")
        try:
            yield
        finally:
            self._ignore_keys_of("inf")

    def _ignore_keys_of(self, requests: str) -> None:
        self._request("POST", "moto-api/reset-auth", requests.encode())

    def make_keys(self) -> dict[str, str]:
        """Return the variables with lasting keys of a new user, who may do everything."""
        self._call("iam", "CreateUser", UserName="alice")
        self._call("iam", "PutUserPolicy", UserName="alice", PolicyName="all", PolicyDocument=_EVERYTHING)
        return _variables(self._call("iam", "CreateAccessKey", UserName="alice"))

    def make_session(self) -> dict[str, str]:
        """Return the variables with keys and a token of a new session, which may do everything."""
        self._call("iam", "CreateRole", RoleName="lab", AssumeRolePolicyDocument=_TRUST)
        self._call("iam", "PutRolePolicy", RoleName="lab", PolicyName="all", PolicyDocument=_EVERYTHING)
        role = "arn:aws:iam::123456789012:role/lab"
        return _variables(self._call("sts", "AssumeRole", RoleArn=role, RoleSessionName="alice"))

    def end_keys(self, variables: Mapping[str, str]) -> None:
        """Delete the keys that `make_keys` made, and check those of later requests."""
        self._ignore_keys_of("inf")
        self._call("iam", "DeleteAccessKey", UserName="alice", AccessKeyId=variables["AWS_ACCESS_KEY_ID"])
        self._ignore_keys_of("0")

    def _call(self, service: str, action: str, **parameters: str) -> str:
        body = urllib.parse.urlencode({"Action": action, **parameters}).encode()
        return self._request("POST", "", body, service).decode()

    def _list(self, path: str, name: str) -> list[str]:
        return re.findall(f"<{name}>(.*?)</{name}>", self._request("GET", path).decode())

    def _request(self, method: str, path: str, body: bytes | None = None, service: str = "s3") -> bytes:
        scope = f"any/20260101/us-east-1/{service}/aws4_request"
        headers = {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=any"}
        if path:  # else the parameters of IAM, as those of a form
            headers["Content-Type"] = "text/plain"
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{path}", body, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bytes(answer.read())


_EVERYTHING = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
)

_TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}],
    }
)


def _variables(answer: str) -> dict[str, str]:
    names = {
        "AccessKeyId": "AWS_ACCESS_KEY_ID",
        "SecretAccessKey": "AWS_SECRET_ACCESS_KEY",
        "SessionToken": "AWS_SESSION_TOKEN",
    }
    found = {variable: re.search(f"<{name}>(.*?)</{name}>", answer) for name, variable in names.items()}
    return {variable: html.unescape(each[1]) if each else "" for variable, each in found.items()}


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
