"""The service account that Kubernetes mounts into every pod, so that a notebook service needs no login.

It consists of three files in one directory (token, CA, namespace) and two environment variables. The
token is valid for about an hour and replaced in place, so it is read again whenever the file changes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from sspcloud_magics import pem
from sspcloud_magics.access import Access
from sspcloud_magics.cluster.auth.token_file import TokenFile
from sspcloud_magics.errors import NotLoggedIn, TokenExpired
from sspcloud_magics.i18n import _
from sspcloud_magics.i18n.system_reasons import system_reason

MOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""The directory where Kubernetes mounts the service account."""


class MountedToken:
    """The service account of the pod that this process runs in.

    Parameters
    ----------
    mount
        The directory with ``token``, ``ca.crt`` and ``namespace``.
    environ
        The environment with ``KUBERNETES_SERVICE_HOST`` and ``KUBERNETES_SERVICE_PORT``.
    """

    def __init__(self, mount: Path, environ: Mapping[str, str]) -> None:
        self._token = TokenFile(mount / "token")
        self._ca = mount / "ca.crt"
        self.namespace = _namespace(mount, environ)
        host = environ["KUBERNETES_SERVICE_HOST"]
        port = environ.get("KUBERNETES_SERVICE_PORT") or "443"
        self.server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"

    @property
    def description(self) -> str:
        """A description for the user."""
        return describe_mount()

    def current(self) -> Access:
        """Return the access with the current token of the file."""
        try:
            # As in client-go: without the file, the system's authorities are trusted.
            ca = pem.extract(self._ca.read_bytes(), pem.CERTIFICATE) if self._ca.exists() else None
        except OSError as error:
            raise NotLoggedIn(_("{file} cannot be read.", file=self._ca), why=system_reason(error)) from None
        return Access(server=self.server, ca=ca, token=self._token.read())

    def renew(self, refused: Access) -> Access:
        """Return an access that differs from `refused`.

        Raises
        ------
        TokenExpired
            If the file still holds the refused token.
        """
        fresh = self.current()
        if fresh.token == refused.token:
            raise TokenExpired(
                _("The cluster no longer accepts the mounted service-account token."),
                why=_("{path} still holds the same token.", path=self._token.path),
                hint=_(
                    "run the cell again in a minute: Kubernetes replaces the token\n"
                    "if the error returns, the service was uninstalled or its account deleted: start a new one"
                ),
            )
        return fresh


def describe_mount() -> str:
    """Return the description of the mounted token for the user."""
    return _("the mounted service-account token")


def why_not_mounted(mount: Path = MOUNT, environ: Mapping[str, str] | None = None) -> str:
    """Return the reason why there is no usable mounted token; empty if there is one."""
    environ = os.environ if environ is None else environ
    try:
        exists = (mount / "token").exists()
    except OSError as error:
        return _(
            "{file} cannot be read ({reason})", file=mount / "token", reason=system_reason(error).rstrip(".")
        )
    if not exists:
        return _("there is no {file}: this is not inside a cluster", file=mount / "token")
    if not environ.get("KUBERNETES_SERVICE_HOST"):
        return _("KUBERNETES_SERVICE_HOST is not set: the address of the API server is unknown")
    return ""


def _namespace(mount: Path, environ: Mapping[str, str]) -> str:
    try:
        text = (mount / "namespace").read_text().strip()
    except (OSError, UnicodeDecodeError):
        text = ""
    return text or environ.get("KUBERNETES_NAMESPACE") or "default"
