"""The platform that the environment, the API server and the setting tell."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import sspcloud_magics as ssp
from sspcloud_magics import platforms
from sspcloud_magics.cluster.platform import copy_script_again, launcher, services_page
from sspcloud_magics.cluster.requests.manifests import parse_manifests
from sspcloud_magics.databases.discovery import database_table
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import language
from sspcloud_magics.platforms import SSPCLOUD, Platform, detect
from sspcloud_magics.session import manifests
from sspcloud_magics.sharing.colleagues import parse_colleague

PACKAGE = Path(ssp.__file__).parent
VAULT = {"VAULT_ADDR": "https://vault.example.org"}


@pytest.fixture(autouse=True)
def unknown_server() -> Iterator[None]:
    yield
    platforms.configure({})
    platforms.learn("")


@pytest.mark.parametrize(
    ("server", "environment", "found"),
    [
        ("", {}, SSPCLOUD),
        ("https://127.0.0.1:6443", {}, SSPCLOUD),
        ("https://[::1]:6443", {}, SSPCLOUD),
        ("https://kubernetes.default.svc", {}, SSPCLOUD),
        (f"https://apiserver.kub{SSPCLOUD.url.removeprefix('https://datalab')}", {}, SSPCLOUD),
        ("https://api.example.org", {}, Platform()),
        ("https://10.43.0.1", VAULT, Platform()),
        ("https://10.43.0.1", {"AWS_S3_ENDPOINT": "minio.example.org"}, Platform()),
        (f"https://x{SSPCLOUD.url.removeprefix('https://datalab')}.example.org", {}, Platform()),
        ("https://[", {"SSPCLOUD_PLATFORM": "javascript:alert(1)"}, SSPCLOUD),
        ("", {"SSPCLOUD_PLATFORM": "https://datalab.example.org"}, Platform("https://datalab.example.org")),
    ],
)
def test_platform_is_detected(server: str, environment: dict[str, str], found: Platform) -> None:
    assert detect(server, environment) == found


def test_pages_of_another_platform() -> None:
    platforms.configure({"url": "https://datalab.example.org/", "language": "en"})
    assert "https://datalab.example.org/account\n" in copy_script_again()
    assert services_page() == "https://datalab.example.org/my-services"
    assert launcher("edit").startswith("https://datalab.example.org/launcher/ide/jupyter-python?")


def test_unknown_platform_has_no_wrong_link(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_ADDR", VAULT["VAULT_ADDR"])
    platforms.learn("https://api.example.org")
    assert "http" not in copy_script_again() + services_page() + launcher("edit")


def test_services_of_sspcloud_speak_french() -> None:
    in_service = {"KUBERNETES_NAMESPACE": "user-alice", "LC_ALL": "en_US.UTF-8"}
    assert language.from_environment(in_service) == {language.Source.PLATFORM: "fr"}
    assert language.from_environment(in_service | VAULT) == {}


def test_names_of_another_platform() -> None:
    platforms.configure({"url": "https://datalab.example.org", "users": "u-", "groups": "team-"})
    with pytest.raises(UsageProblem) as refused:
        parse_colleague("Bob!")
    assert "team-NAME" in refused.value.hint
    with pytest.raises(UsageProblem) as refused:
        ssp.use_namespace("No!")
    assert "u-bob or team-x" in refused.value.hint
    assert "%databases -n u-NAME" in repr(database_table([], "u-bob", "u-bob"))
    subjects = [{"kind": "User", "name": name} for name in ("u-bob", "user-bob")]
    text = f"{{apiVersion: v1, kind: RoleBinding, metadata: {{name: x}}, subjects: {json.dumps(subjects)}}}"
    [binding] = parse_manifests(text)
    assert [note.split()[0] for note in manifests._find_notes(binding)] == ["u-bob"]


def test_address_is_in_one_module() -> None:
    front_end = PACKAGE.parent / "labextension" / "src"
    written = [file for file in PACKAGE.rglob("*") if file.suffix in (".py", ".po", ".yaml", ".sql", ".html")]
    found = [
        file.name
        for file in (*written, *front_end.rglob("*.ts*"))
        if re.search(r"sspcloud\.fr", file.read_text("utf-8"))
    ]
    assert found == ["platforms.py"]


def test_prefixes_are_in_one_module() -> None:
    """The sandbox is a cluster of SSPCloud, and has its prefixes."""
    prefixes = {SSPCLOUD.users, SSPCLOUD.groups, SSPCLOUD.accounts}
    found = {
        file.name
        for file in PACKAGE.rglob("*.py")
        if "sandbox" not in file.parts
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Constant) and node.value in prefixes
    }
    assert found == {"platforms.py"}
