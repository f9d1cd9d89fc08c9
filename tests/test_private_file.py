"""A private temporary file is readable only by this process, and is removed afterwards."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from sspcloud_magics.private_file import private_file

TEXT = "-----BEGIN é-----\n" * 10_000


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_file_is_private_and_goes(platform: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    file, remove = private_file(TEXT)
    assert [file.read_text("utf-8"), file.read_text("utf-8")] == [TEXT, TEXT]
    if platform == "linux":
        assert list(tmp_path.iterdir()) == []
    else:
        modes = [each.stat().st_mode & 0o777 for each in (file.parent, file)]
        assert modes == [0o700, 0o600]
    remove()
    assert not file.exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="for Linux")
@pytest.mark.parametrize("how", ["missing", "refused"])
def test_python_without_files_in_memory(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    if how == "missing":
        monkeypatch.delattr(os, "memfd_create")
    else:
        monkeypatch.setattr(os, "memfd_create", refuse)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    file, remove = private_file(TEXT)
    assert file.read_text("utf-8") == TEXT
    remove()
    assert list(tmp_path.iterdir()) == []
