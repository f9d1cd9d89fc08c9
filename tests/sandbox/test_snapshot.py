"""When the snapshot is written."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import pytest

from sspcloud_magics.sandbox import snapshot
from sspcloud_magics.sandbox.store import Store


async def test_failed_writing_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = asyncio.Event()
    keeper = snapshot.Keeper(tmp_path, Store(), dict)
    answers = iter([OSError(errno.ENOSPC, "No space left on device"), None])

    def write(path: Path, content: bytes) -> None:
        if (error := next(answers)) is not None:
            raise error
        written.set()

    with monkeypatch.context() as patch:
        patch.setattr(snapshot, "write_private", write)
        patch.setattr(snapshot, "DELAY", 0.0)
        keeper.write_soon()
        await written.wait()
    keeper.stop()
