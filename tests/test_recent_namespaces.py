"""Recent namespaces are saved for later sessions; an unreadable or read-only file does no harm."""

import json
import stat
from datetime import UTC, datetime, timedelta

import pytest

from sspcloud_magics.session import recent_namespaces

SERVER, MINE = "https://api.example:6443", "user-bob"


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return recent_namespaces.file()


def test_the_latest_used_comes_first_and_each_once(kept):
    for namespace in ("user-alice", "user-carol", "user-alice"):
        recent_namespaces.remember(SERVER, MINE, namespace)
    listed = json.loads(kept.read_text())["used"]
    assert sorted(place["namespace"] for place in listed) == ["user-alice", "user-carol"]
    listed[0]["at"] = "2026-11-24T12:00:00+00:00"
    listed[1]["at"] = "2026-11-25T12:00:00+00:00"
    kept.write_text(json.dumps({"used": listed}))
    assert recent_namespaces.list_recent(SERVER, MINE) == (listed[1]["namespace"], listed[0]["namespace"])


def test_file_is_the_users_alone_with_no_leftover(kept):
    recent_namespaces.remember(SERVER, MINE, "user-alice")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert [each.name for each in kept.parent.iterdir()] == [kept.name]


def test_own_namespace_is_left_out_for_each_person():
    recent_namespaces.remember(SERVER, MINE, MINE)
    recent_namespaces.remember(SERVER, "user-carol", "user-dave")
    recent_namespaces.remember("https://other.example", MINE, "user-eve")
    assert recent_namespaces.list_recent(SERVER, MINE) == ()
    assert recent_namespaces.list_recent(SERVER, "user-carol") == ("user-dave",)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"used": 3}',
        b'{"used": [{"at": "yesterday"}]}',
        b'{"used": [{"at": "2026-11-24"}]}',
    ],
)
def test_a_file_that_is_none_of_ours_is_replaced(kept, content):
    kept.parent.mkdir(parents=True)
    kept.write_bytes(content)
    assert recent_namespaces.list_recent(SERVER, MINE) == ()
    recent_namespaces.remember(SERVER, MINE, "user-alice")
    assert recent_namespaces.list_recent(SERVER, MINE) == ("user-alice",)


def test_unused_entries_expire_and_are_limited(kept):
    old = datetime.now(UTC) - timedelta(days=400)
    used = [
        recent_namespaces.RecentNamespace(SERVER, MINE, f"user-{number}", old).to_plain()
        for number in range(recent_namespaces.MOST + 5)
    ]
    kept.parent.mkdir(parents=True)
    kept.write_text(json.dumps({"used": used}))
    assert len(recent_namespaces.list_recent(SERVER, MINE)) == recent_namespaces.MOST
    recent_namespaces.remember(SERVER, MINE, "user-alice")
    assert recent_namespaces.list_recent(SERVER, MINE) == ("user-alice",)


def test_unwritable_place_remembers_nothing(tmp_path, monkeypatch):
    (tmp_path / "a file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "a file"))
    recent_namespaces.remember(SERVER, MINE, "user-alice")
    assert recent_namespaces.list_recent(SERVER, MINE) == ()
