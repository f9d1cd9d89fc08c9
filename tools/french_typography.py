"""Check the no-break spaces that French needs before : ; ? ! and inside « ».

    python tools/french_typography.py          report the places where they are missing
    python tools/french_typography.py fix      insert them

It covers the French texts of this repository: the README, the prose of the tutorials' sources, and the catalogue of the
side panel; the panel's view inserts them itself. Code, in backticks or fenced, is not changed. Before a parameter, such
as ``:name``, the space is a plain one: SQL that a reader copies would fail with another.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CODE = re.compile(r"(```.*?```|`[^`\n]*`|https?://\S+)", re.DOTALL)
PROSE_OF_A_SOURCE = re.compile(r"(?<=^%% fr\n).*?(?=^%% |\Z)", re.DOTALL | re.MULTILINE)
BLANK = "\N{NO-BREAK SPACE}"


def set_blanks(text: str) -> str:
    """Return a French text with no-break spaces, except in code."""
    parts = CODE.split(text)
    for place in range(0, len(parts), 2):
        # One kind of space everywhere: some fonts of terminals lack the narrow one.
        closed = re.sub(r"[ \u202f](?=[;?!»]|:(?![\w{]))", BLANK, parts[place])
        closed = re.sub(r"(?<!«)[\u00a0\u202f](?=:[\w{])", " ", closed)
        parts[place] = closed.replace("« ", f"«{BLANK}")
    # Punctuation may follow code, too: `x` ;
    whole = "".join(parts)
    return re.sub(r"(?<=`) (?=[:;?!»])", BLANK, whole)


def list_files() -> Iterator[tuple[Path, str]]:
    """Yield each file with French text, and its correct content."""
    for name in ("README.fr.md", "sspcloud_magics/locale/fr_FR/LC_MESSAGES/sspcloud_magics.json"):
        text = (ROOT / name).read_text("utf-8")
        if name.endswith(".json"):
            # The keys are English.
            yield (
                ROOT / name,
                re.sub(r'^    ".*"', lambda found: set_blanks(found[0]), text, flags=re.MULTILINE),
            )
        else:
            yield ROOT / name, set_blanks(text)
    for source in sorted((ROOT / "notebooks" / "source").glob("*.txt")):
        text = source.read_text("utf-8")
        yield source, PROSE_OF_A_SOURCE.sub(lambda found: set_blanks(found[0]), text)


def find_faults() -> list[str]:
    """Return each line with missing no-break spaces, with its place."""
    found = []
    for path, wanted in list_files():
        lines = zip(path.read_text("utf-8").splitlines(), wanted.splitlines(), strict=True)
        found += [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
            for number, (line, right) in enumerate(lines, 1)
            if line != right
        ]
    return found


def main() -> int:
    """Check or fix the files."""
    if sys.argv[1:] == ["fix"]:
        for path, wanted in list_files():
            path.write_text(wanted, "utf-8")
    wrong = find_faults()
    if wrong:
        print("\n".join([*wrong, "→ python tools/french_typography.py fix"]), file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
