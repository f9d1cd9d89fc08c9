"""The certificates of the API server, of clients and of databases.

The cluster's authority is stored in the home, so that kubeconfigs stay valid across restarts. Each database
has its own authority, as with the CloudNativePG operator.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme

SERVER_NAMES = (
    "localhost",
    "127.0.0.1",
    "::1",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


@dataclass(frozen=True, slots=True, repr=False)
class DatabaseCertificates:
    """An authority and the server certificate that it signed, in PEM; the repr hides them."""

    ca: str
    certificate: str
    ca_key: str
    key: str


@dataclass(frozen=True, slots=True, repr=False)
class ClientCertificate:
    """A client's certificate and its key, in PEM; the repr hides them."""

    certificate: str
    key: str


class ClusterAuthority:
    """The certificate authority of one home, created at the first use."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        certificate, key = directory / "ca.crt", directory / "ca.key"
        if certificate.exists() and key.exists():
            self._authority = trustme.CA.from_pem(certificate.read_bytes(), key.read_bytes())
        else:
            self._authority = trustme.CA(organization_name="sandbox", organization_unit_name="kubernetes")
            write_private(key, self._authority.private_key_pem.bytes())
            write_private(certificate, self._authority.cert_pem.bytes())
        self.pem = self._authority.cert_pem.bytes().decode()

    def server_context(self) -> ssl.SSLContext:
        """Return the API server's TLS context, in which client certificates are optional."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._authority.issue_cert(*SERVER_NAMES, common_name="kube-apiserver").configure_cert(context)
        self._authority.configure_trust(context)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.num_tickets = 1  # as in Go: each ticket is work for both ends
        return context

    def client(self, name: str, group: str) -> ClientCertificate:
        """Return a certificate for the user `name` of the group `group`."""
        leaf = self._authority.issue_cert(f"{name}.users", common_name=name, organization_name=group)
        chain = "".join(part.bytes().decode() for part in leaf.cert_chain_pems)
        return ClientCertificate(chain, leaf.private_key_pem.bytes().decode())


def database(name: str, namespace: str) -> DatabaseCertificates:
    """Return certificates for the services of a CloudNativePG database, from a new authority."""
    authority = trustme.CA(organization_name=namespace, organization_unit_name=name)
    hosts = [
        f"{name}-{kind}{domain}"
        for kind in ("rw", "r", "ro")
        for domain in ("", f".{namespace}", f".{namespace}.svc", f".{namespace}.svc.cluster.local")
    ]
    leaf = authority.issue_cert(*hosts, common_name=f"{name}-rw")
    return DatabaseCertificates(
        ca=authority.cert_pem.bytes().decode(),
        ca_key=authority.private_key_pem.bytes().decode(),
        certificate="".join(part.bytes().decode() for part in leaf.cert_chain_pems),
        key=leaf.private_key_pem.bytes().decode(),
    )


def write_private(path: Path, content: bytes) -> None:
    """Write a file atomically, readable only by its owner."""
    scratch = path.with_name(f".{path.name}.new")
    with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123
        file.write(content)
    scratch.replace(path)
