"""The entries for PostgreSQL's other clients: what is written, what stays, and what goes."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sspcloud_magics.databases.postgres import client_files
from sspcloud_magics.errors import CredentialsNotFound
from sspcloud_magics.secret import Secret

OWN = b"# mine\r\n[mine]\nhost=db.example.org\n\n[other]\nport=1"
ENTRY = {
    "host": "db-rw.user-alice.svc",
    "hostaddr": "127.0.0.1",
    "port": "15432",
    "dbname": "defaultdb",
    "user": "share_bob",
}
SERVICE = "user-alice.db"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of services with entries of the user's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    place = tmp_path / "pg_service.conf"
    place.write_bytes(OWN)
    place.chmod(0o640)
    monkeypatch.setenv("PGSERVICEFILE", str(place))
    return place


def write(service: str = SERVICE, *, text: str = "s3:c\\ret", **more: object) -> None:
    client_files.write(service, ENTRY, Secret(text), **more)  # type: ignore[arg-type]


def test_entry_has_no_password_and_file_is_private(file: Path) -> None:
    write(ca="-----BEGIN CERTIFICATE-----")
    text = file.read_text()
    assert "s3:c" not in text
    assert f"[{SERVICE}]\nhost=db-rw.user-alice.svc\n" in text
    assert "sslmode=verify-full" in text
    passfile = client_files.pass_file(SERVICE)
    assert f"passfile={passfile}" in text
    assert stat.S_IMODE(passfile.stat().st_mode) == 0o600
    assert stat.S_IMODE(passfile.parent.stat().st_mode) == 0o700
    assert (
        passfile.read_text().splitlines()[0] == r"db-rw.user-alice.svc:15432:defaultdb:share_bob:s3\:c\\ret"
    )


def test_own_entries_stay_to_the_byte(file: Path) -> None:
    write()
    write()
    write("user-carol.db")
    assert file.read_bytes().startswith(OWN + b"\n# sspcloud-magics begin")
    assert file.read_text().count(f"[{SERVICE}]") == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert client_files.forget(SERVICE)
    assert client_files.forget("user-carol.db")
    assert file.read_bytes() == OWN + b"\n"
    assert not client_files.forget(SERVICE)
    assert not client_files.pass_file(SERVICE).exists()


def test_link_to_the_file_stays_a_link(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = file.with_name("link")
    link.symlink_to(file)
    monkeypatch.setenv("PGSERVICEFILE", str(link))
    write()
    assert link.is_symlink()
    assert SERVICE in file.read_text()


def test_entry_ends_with_its_share(file: Path) -> None:
    now = datetime.now(UTC)
    write(until=now - timedelta(seconds=1))
    write("user-carol.db", until=now + timedelta(days=1))
    write("user-bob.mine")
    assert client_files.sweep() == [SERVICE]
    assert SERVICE not in file.read_text()
    assert not client_files.pass_file(SERVICE).exists()
    assert client_files.sweep() == []


@pytest.mark.parametrize(
    "damaged",
    [
        b"# sspcloud-magics begin user-alice.db until never\n[mine]\nhost=x\n",
        b"# sspcloud-magics begin user-alice.db until 2020-01-01\n[mine]\n",
        b"\xff\xfe# sspcloud-magics end\n",
    ],
)
def test_damaged_block_removes_nothing(file: Path, damaged: bytes) -> None:
    """A block without its end, or with another expiry, is not known to be ours."""
    file.write_bytes(damaged)
    assert client_files.sweep() == []
    client_files.forget(SERVICE)
    assert file.read_bytes() == damaged


def test_line_break_cannot_add_a_line(file: Path) -> None:
    with pytest.raises(CredentialsNotFound):
        write(text="x\n*:*:*:*:y")
    with pytest.raises(CredentialsNotFound):
        client_files.write(SERVICE, ENTRY | {"dbname": "d\nhost=evil"}, Secret("x"))
    assert file.read_bytes() == OWN


def test_missing_file_is_made_private(file: Path) -> None:
    file.unlink()
    write()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
