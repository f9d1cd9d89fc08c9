"""The choice of a kind, and its library."""

from __future__ import annotations

import sys

import pytest

from sspcloud_magics.databases import kinds
from sspcloud_magics.databases.discovery import QUERYABLE
from sspcloud_magics.errors import UsageProblem


@pytest.mark.parametrize(("kind", "package"), [("mariadb", "pymysql"), ("mongodb", "pymongo")])
def test_missing_library_names_the_extra(kind, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageProblem) as caught:
        kinds.get(kind)
    assert f"sspcloud-magics[{kind}]" in caught.value.hint


def test_each_kind_has_a_probe():
    assert set(kinds.PROBES) == set(QUERYABLE)
    assert kinds.PROBES["mariadb"].answers(b"\x4a\x00\x00\x00\x0a11.5.2-MariaDB")
    assert not kinds.PROBES["mariadb"].answers(b"HTTP/1.1 400 Bad Request")
    assert not kinds.PROBES["mongodb"].answers(b"HTTP/1.1 400 Bad Request")
