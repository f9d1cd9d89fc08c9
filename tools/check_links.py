"""Check all internal links, of the built site and of the Markdown files at the top of the repository.

    python tools/check_links.py build/site

In the site, each linked page and anchor must exist. In the Markdown files, each relative link must lead to a file, and
each anchor to one of its headings. Links to other hosts are not checked, so no network is needed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
BESIDE = ("README.md", "README.fr.md", "CONTRIBUTING.md", "CHANGELOG.md")
LINK = re.compile(r"(?<!`)\]\(<?([^)\s>]+)>?\)|(?:src|srcset|href)=\"([^\"]+)\"")


class Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = {"", "top"}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect the links and the anchors of an element."""
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value)
            if name == "href" or (name == "src" and tag in ("img", "script", "iframe")):
                self.links.append(value)


def check_site(site: Path) -> Iterator[str]:
    """Yield a message for each broken link of the site."""
    pages = {
        path: Page(path.read_text("utf-8")) for path in site.rglob("*.html") if "_static" not in path.parts
    }
    for path, page in sorted(pages.items()):
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
            if target.is_dir():
                target /= "index.html"
            where = path.relative_to(site)
            if not target.exists():
                yield f"{where}: {link} is not a page"
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield f"{where}: {link} is not an anchor of that page"


def check_file(path: Path) -> Iterator[str]:
    """Yield a message for each broken relative link of a Markdown file."""
    for found in LINK.finditer(path.read_text("utf-8")):
        link = found[1] or found[2]
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = path if not parts.path else path.parent / unquote(parts.path)
        if not target.exists():
            yield f"{path.name}: {link} is not a file"
        elif parts.fragment and parts.fragment not in set(map(slug, headings(target))):
            yield f"{path.name}: {link} is not a heading of that file"


def headings(path: Path) -> list[str]:
    """Return the headings of a Markdown file."""
    return re.findall(r"^#+ +(.*)$", path.read_text("utf-8"), re.MULTILINE)


def slug(heading: str) -> str:
    """Return the anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def main() -> int:
    """Check all links, and print the broken ones."""
    site = Path(sys.argv[1]).resolve()
    wrong = list(check_site(site))
    for name in BESIDE:
        if (ROOT / name).exists():
            wrong += check_file(ROOT / name)
    print("\n".join(wrong) if wrong else "All links are valid.")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
