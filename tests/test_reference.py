"""The generated pages of the documentation hold everything that there is, and the checker of links finds what is broken."""

from __future__ import annotations

import re

import pytest

import sspcloud_magics as ssp
from sspcloud_magics.magics import _CLASSES
from tools import check_links, reference


@pytest.mark.parametrize("kind", reference.kinds(), ids=lambda kind: kind.__name__)
def test_error_is_on_its_page_with_anchor_and_hint(kind):
    page = reference.error_page()
    assert f"({kind.__name__})=\n" in page
    entry = page.partition(f"({kind.__name__})=\n")[2].partition("\n(")[0]
    _first, _, hint = entry.strip().partition("\n\n")[2].partition("\n\n")
    assert hint.strip() or kind.__name__ == "SspcloudError"


def test_magic_is_on_its_page_with_all_options():
    page = reference.magics()
    for kind in _CLASSES:
        for names in kind.magics.values():
            for name, attribute in names.items():
                assert f"({name})=\n" in page
                entry = page.partition(f"({name})=\n")[2].partition("\n(")[0]
                for action in getattr(kind, attribute).parser._actions:
                    assert all(f"`{option}`" in entry for option in action.option_strings)
                assert entry.count("```") % 2 == 0


def test_magic_has_a_chapter_and_its_usage_fits():
    page = reference.magics()
    assert {kind.__name__ for kind in _CLASSES} == set(reference.ROOMS)
    usages = re.findall(r"^### `%\w+`\n\n```text\n(.*?)```", page, re.MULTILINE | re.DOTALL)
    assert len(usages) == sum(len({**kind.magics["line"], **kind.magics["cell"]}) for kind in _CLASSES)
    assert max(len(line) for usage in usages for line in usage.splitlines()) <= 80


def test_each_function_has_a_chapter():
    assert sorted(name for names in reference.API.values() for name in names) == sorted(ssp.__all__)


def test_each_function_is_on_the_python_page_once():
    page = reference.python_api()
    assert [page.count(f"sspcloud_magics.{name}\n") for name in ssp.__all__] == [1] * len(ssp.__all__)


def test_links_that_lead_nowhere_are_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<a href="b.html#there">1</a><a href="b.html#gone">2</a><a href="c.html">3</a>'
    )
    (tmp_path / "b.html").write_text('<p id="there"><a href="https://elsewhere.example/x">4</a></p>')
    assert list(check_links.check_site(tmp_path)) == [
        "a.html: b.html#gone is not an anchor of that page",
        "a.html: c.html is not a page",
    ]


def test_links_of_neighbouring_files_are_checked(tmp_path):
    page = tmp_path / "README.md"
    page.write_text('# Try it\n[a](#try-it) [b](#not-there) [c](docs/none.md) <img src="none.png">\n')
    assert [fault.partition(": ")[2] for fault in check_links.check_file(page)] == [
        "#not-there is not a heading of that file",
        "docs/none.md is not a file",
        "none.png is not a file",
    ]
