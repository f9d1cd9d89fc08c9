"""Postgres' binaries, where the user that they run as cannot reach them in the environment."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sspcloud_magics.sandbox import postgres

pytestmark = pytest.mark.slow


def test_databases_that_start_at_once_share_one_copy(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = threading.Barrier(3)
    copytree = shutil.copytree

    def copy_and_wait(*given, **named):
        done = copytree(*given, **named)
        copied.wait(60)  # until all have a copy of their own, and each wants to put it into its place
        return done

    monkeypatch.setattr(postgres, "identity", lambda: {"user": 65534, "group": 65534})
    monkeypatch.setattr(postgres, "_open_to_all", lambda _path: False)
    monkeypatch.setattr(postgres, "_make_substitute", lambda _path: tmp_path)
    monkeypatch.setattr(postgres.shutil, "copytree", copy_and_wait)
    with ThreadPoolExecutor(3) as threads:
        found = [started.result() for started in [threads.submit(postgres.binaries) for _ in range(3)]]
    assert len(set(found)) == 1
    assert (found[0] / "postgres").exists()
    assert [path.name for path in tmp_path.iterdir()] == [found[0].parent.name]
