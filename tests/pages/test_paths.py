"""Paths in pages: each of them exists in the repository."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASES = [ROOT, ROOT / "sspcloud_magics", ROOT / "labextension", ROOT / "labextension" / "src"]
PAGES = [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "generated" not in page.parts], ids=lambda page: page.stem
)
def test_named_files_exist(page):
    paths = re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.(?:go|md|py|ts))`", page.read_text("utf-8"))
    assert [path for path in paths if not any((base / path).exists() for base in BASES)] == []
