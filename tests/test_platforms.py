"""The platform that the environment, the API server and the setting tell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import sspcloud_magics
from sspcloud_magics import platforms
from sspcloud_magics.cluster.platform import copy_script_again, launcher, services_page
from sspcloud_magics.i18n import language
from sspcloud_magics.platforms import SSPCLOUD, Platform, detect

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


def test_address_is_in_one_module() -> None:
    package = Path(sspcloud_magics.__file__).parent
    front_end = package.parent / "labextension" / "src"
    files = [*package.rglob("*.py"), *front_end.rglob("*.ts*")]
    found = [file.name for file in files if re.search(r"sspcloud\.fr", file.read_text("utf-8"))]
    assert found == ["platforms.py"]
