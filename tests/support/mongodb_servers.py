"""A server that speaks MongoDB's protocol: SecantusDB, which keeps documents in WiredTiger, as MongoDB does.

It has SCRAM, users and roles, MongoDB's errors with their numbers, Decimal128, and cursors. It cannot show:

- a replica set, a secondary, and versions 4.0 to 4.4, which the chart installs;
- SCRAM-SHA-1, which those versions offer too.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pymongo
from pymongo.errors import PyMongoError

from tests.support.ports import free_port
from tests.support.waiting import wait_until

PASSWORD = "pä:s/s@1"
"""The password of the user ``alice``, who may read and write ``defaultdb``."""


@contextlib.contextmanager
def start_mongodb(*, logins: bool = False) -> Iterator[int]:
    """Run a server with an empty database, and yield its port; with `logins`, it asks for the login of ``alice``."""
    with tempfile.TemporaryDirectory(prefix="sspcloud-mongo-") as home:
        if logins:
            with _run(home) as port, client(port) as admin:
                role = {"role": "readWrite", "db": "defaultdb"}
                admin["defaultdb"].command("createUser", "alice", pwd=PASSWORD, roles=[role])
        with _run(home, *["--auth"] * logins) as port:
            yield port


@contextlib.contextmanager
def _run(home: str, *options: str) -> Iterator[int]:
    port = free_port()
    program = Path(sys.executable).with_name("secantusd-py")
    where = [f"--storage-path={home}/data", f"--port={port}", "--host=127.0.0.1", "--cache-size=64M"]
    with (Path(home) / "log").open("ab") as log:
        process = subprocess.Popen(
            [str(program), *where, "--standalone", *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home,
        )

    def answers() -> bool:
        assert process.poll() is None, (Path(home) / "log").read_text()[-2000:]
        with contextlib.suppress(PyMongoError), client(port) as found:
            return bool(found.admin.command("ping"))
        return False

    try:
        wait_until(answers)
        yield port
    finally:
        process.terminate()  # the next one opens the same files
        process.wait()


def client(port: int) -> pymongo.MongoClient:
    """Return PyMongo's client alone."""
    return pymongo.MongoClient("127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=1000)
