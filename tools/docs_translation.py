"""Keep the French of the documentation's pages: sphinx-intl finds the texts, and a check finds what is missing.

    python -m tools.docs_translation update     bring docs/locale to the English pages
    python -m tools.docs_translation check      print the texts without French, and fail if there are any

Explanation, reference of Python, decisions and the pages for contributors stay English.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Message
from babel.messages.pofile import read_po, write_po
from sphinx_intl import basic  # type: ignore[import-untyped]  # it has no types

from tools.french_typography import set_blanks

ROOT = Path(__file__).resolve().parent.parent
LOCALE = ROOT / "docs" / "locale"
PAGES = ("index", "quick-start", "tutorials", "how-to/*", "panel", "sharing", "queries", "generated/errors")
# The folder of the pages' texts, which Sphinx's gettext builder writes; it is quick if it has run before.
TEXTS = ROOT / "build" / "gettext"


def extract() -> list[Path]:
    """Write the texts of the pages, and return the files of those that are translated."""
    subprocess.run(
        [sys.executable, "-m", "sphinx", "--quiet", "-b", "gettext", "docs", str(TEXTS)], cwd=ROOT, check=True
    )
    return sorted(path for page in PAGES for path in TEXTS.glob(f"{page}.pot"))


def french(template: Path) -> Path:
    """Return the file with the French of a page."""
    return LOCALE / "fr" / "LC_MESSAGES" / template.relative_to(TEXTS).with_suffix(".po")


def update() -> None:
    """Bring the French files to the English pages, and set their no-break spaces."""
    templates = extract()
    with tempfile.TemporaryDirectory() as folder:
        for template in templates:
            target = Path(folder) / template.relative_to(TEXTS)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(template, target)
        basic.update(str(LOCALE), folder, ["fr"], line_width=110, ignore_obsolete=True)
    for template in templates:
        # Without dates and names of people, which change with each update.
        with french(template).open("rb") as file:
            catalogue = read_po(file, locale="fr")
        for message in catalogue:
            if message.id:  # the header has no id
                message.string = set_blanks(str(message.string))
        with french(template).open("wb") as file:
            write_po(file, catalogue, width=110, omit_header=True, ignore_obsolete=True)


def find_faults() -> Iterator[str]:
    """Yield a line for each text without French."""
    for template in extract():
        path = french(template)
        known: dict[str, Message] = {}
        if path.exists():
            with path.open("rb") as file:
                known = {str(message.id): message for message in read_po(file, locale="fr")}
        with template.open("rb") as file:
            wanted = [str(message.id) for message in read_po(file) if message.id]
        for text in wanted:
            found = known.get(text)
            if found is None or not found.string or found.fuzzy:
                yield f"{path.relative_to(ROOT)}: no French text: {text[:80]!r}"
            elif set_blanks(str(found.string)) != found.string:
                yield f"{path.relative_to(ROOT)}: no-break spaces are missing: {str(found.string)[:80]!r}"


def main(arguments: list[str]) -> int:
    """Run a command; return 1 if `check` finds a fault."""
    if arguments == ["update"]:
        update()
        return 0
    faults = list(find_faults())
    print(*faults, sep="\n")
    if faults:
        print(f"{len(faults)} texts of the documentation need French", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
