"""The code in a page of the documentation, as a reader meets it: fenced blocks, in their order.

Blocks marked ``python`` are cells of a notebook, blocks marked ``bash`` lines of a terminal. A block without a mark is shown and
not run: what installs something, or what starts a program that stays.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

LANGUAGES = ("python", "bash")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, instead: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """Return the blocks of a page that run, each with its language.

    Parameters
    ----------
    page
        A Markdown file.
    instead
        What is written for the reader, and what stands there for it on this machine. Each must be there: a page that
        has changed is looked at again.
    """
    text = page.read_text("utf-8")
    for written, meant in (instead or {}).items():
        assert written in text, f"{page.name} does not hold {written!r} any more"
        text = text.replace(written, meant)
    return [(language, body) for language, body in FENCE.findall(text) if language in LANGUAGES]
