"""The identities of the cluster: a certificate authority, its certificates, and their kubeconfigs."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import trustme

ADDRESS = "10.99.0.1"
"""The address of the node; a kubelet refuses loopback addresses."""
API = "https://127.0.0.1:6443"
FRONT = "https://127.0.0.1:6450"
"""The address of the front, which serves the same API with the tunnel protocols of newer servers."""
PERSON = "alice"
NAMESPACE = "user-alice"


@dataclass(frozen=True)
class Identities:
    """The paths of certificates (``.crt``) and keys (``.key``) in PEM, of kubeconfigs, and of the token file.

    Parameters
    ----------
    folder
        The folder of all files.
    """

    folder: Path

    @property
    def authority(self) -> Path:
        """The certificate of the authority."""
        return self.folder / "ca.crt"

    @property
    def tokens(self) -> Path:
        """The API server's token file."""
        return self.folder / "tokens.csv"

    @property
    def service_accounts(self) -> Path:
        """The key that signs the tokens of service accounts."""
        return self.folder / "service-accounts.key"

    @property
    def admin(self) -> Path:
        """The kubeconfig of the cluster's own programs."""
        return self.folder / "admin.kubeconfig"

    @property
    def person(self) -> Path:
        """The kubeconfig of a user who owns one namespace."""
        return self.folder / "person.kubeconfig"

    @property
    def person_at_front(self) -> Path:
        """The same user's kubeconfig for the front."""
        return self.folder / "person-at-front.kubeconfig"

    def pair(self, name: str) -> tuple[Path, Path]:
        """Return a certificate and its key."""
        return self.folder / f"{name}.crt", self.folder / f"{name}.key"


def make_identities(folder: Path) -> Identities:
    """Create a certificate authority, and the files of all identities."""
    found = Identities(folder)
    folder.mkdir(mode=0o700)
    authority = trustme.CA(organization_name="cluster")
    authority.cert_pem.write_to_path(str(found.authority))
    for name, hosts, person, group in (
        ("apiserver", ("localhost", "127.0.0.1", "kubernetes.default.svc"), "kube-apiserver", "kubernetes"),
        ("kubelet", ("localhost", "127.0.0.1", ADDRESS), "system:node:node", "system:nodes"),
        ("admin", ("admin",), "admin", "system:masters"),
    ):
        signed = authority.issue_cert(*hosts, common_name=person, organization_name=group)
        certificate, key = found.pair(name)
        certificate.write_bytes(b"".join(blob.bytes() for blob in signed.cert_chain_pems))
        key.write_bytes(signed.private_key_pem.bytes())
    subprocess.run(
        ["openssl", "genrsa", "-out", str(found.service_accounts), "2048"], check=True, capture_output=True
    )
    token = secrets.token_hex(16)
    found.tokens.write_text(f"{token},{PERSON},{PERSON}\n")
    certificate, key = map(_encode, found.pair("admin"))
    _write_kubeconfig(
        found, found.admin, API, {"client-certificate-data": certificate, "client-key-data": key}, "default"
    )
    _write_kubeconfig(found, found.person, API, {"token": token}, NAMESPACE)
    _write_kubeconfig(found, found.person_at_front, FRONT, {"token": token}, NAMESPACE)
    for file in folder.iterdir():
        file.chmod(0o600)
    return found


def _encode(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()


def _write_kubeconfig(
    found: Identities, file: Path, server: str, user: Mapping[str, str], namespace: str
) -> None:
    cluster = {"server": server, "certificate-authority-data": _encode(found.authority)}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "node",
        "clusters": [{"name": "node", "cluster": cluster}],
        "users": [{"name": "me", "user": dict(user)}],
        "contexts": [{"name": "node", "context": {"cluster": "node", "user": "me", "namespace": namespace}}],
    }
    file.write_text(json.dumps(content))
