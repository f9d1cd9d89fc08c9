"""A server that speaks MongoDB's protocol: nx-27017, which keeps documents in SQLite.

It shows that find and aggregate arrive, in batches, and that parameters reach the server as values. It cannot show:

- a login (it knows no SCRAM), `authSource`, and what a user may do;
- a replica set, a secondary, and versions 4.0 to 4.4, which the chart installs;
- errors: an unknown command or operator is answered as if it were right;
- Decimal128, dates beyond the year 9999, and the types of `distinct`.

For these, `tests/databases/mongodb/test_documents.py` encodes and decodes BSON with PyMongo itself.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pymongo
from pymongo.errors import PyMongoError

from tests.support.ports import free_port
from tests.support.waiting import wait_until


@contextlib.contextmanager
def start_mongodb() -> Iterator[int]:
    """Run a server with an empty database, and yield its port."""
    port = free_port()
    program = Path(sys.executable).with_name("nx-27017")
    process = subprocess.Popen(
        [str(program), "--db", "memory", "-p", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def answers() -> bool:
        with contextlib.suppress(PyMongoError), client(port) as found:
            return bool(found.admin.command("ping"))
        return False

    try:
        wait_until(answers)
        yield port
    finally:
        process.kill()
        process.wait()


def client(port: int) -> pymongo.MongoClient:
    """Return PyMongo's client alone."""
    return pymongo.MongoClient("127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=1000)
