"""Login with the account page's script: try it on the server, then merge it into the kubeconfig.

The merge follows kubectl: it changes each entry in the file that has it, adds new ones to the first file that
exists, and keeps other entries and unknown fields. There are two differences. It removes credentials of another kind from the
user entry, since they would take precedence over the new ones. It keeps a certificate authority for the same server
although the script turns verification off. Nothing is written before the server has accepted
the token, so an invalid script changes nothing.

Source: ``kubectl config`` (k8s.io/kubectl/pkg/cmd/config, k8s.io/client-go/tools/clientcmd/config.go).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from yaml.nodes import MappingNode

from sspcloud_magics import pem
from sspcloud_magics.cluster.auth import jwt, oidc
from sspcloud_magics.cluster.auth.kubeconfig_context import ContextAccess, server_url
from sspcloud_magics.cluster.cluster import make_cluster
from sspcloud_magics.cluster.config import kubeconfig as kubeconfigs
from sspcloud_magics.cluster.config import kubeconfig_file
from sspcloud_magics.cluster.config.kubeconfig_edit import KubeconfigEdit, assign, remove, remove_malformed
from sspcloud_magics.cluster.login_script import LoginScript
from sspcloud_magics.cluster.platform import copy_script_again
from sspcloud_magics.cluster.requests.permissions import who_am_i
from sspcloud_magics.errors import KubeconfigInvalid, TokenExpired
from sspcloud_magics.i18n import _
from sspcloud_magics.i18n.system_reasons import system_reason
from sspcloud_magics.secret import Secret, without_frames

_AUTHORITY = ("certificate-authority", "certificate-authority-data")
_OTHER_CREDENTIALS = ("token", "tokenFile", "username", "password", "exec", "auth-provider")


@without_frames
def log_in(script: LoginScript, files: Sequence[Path], ca_file: Path | None = None) -> None:
    """Try a login script's credentials on its server, then merge it into the kubeconfig.

    Parameters
    ----------
    script
        The parsed script.
    files
        The kubeconfigs in order of precedence: a named one, or those of ``KUBECONFIG``.
    ca_file
        Certificates to verify the server with, in PEM. They are saved in the kubeconfig, instead of the script's
        option not to verify.

    Raises
    ------
    TokenExpired
        If the server does not accept the token, or its session at the identity provider has ended.
    KubeconfigInvalid
        If the kubeconfig cannot be read or changed, or `ca_file` cannot be read.
    ServerUnreachable, CertificateNotTrusted, ServerError
        If a request to the server or to the identity provider fails. After any error, nothing has changed.
    """
    ca = _read_authority(ca_file) if ca_file else None
    for file in files:
        kubeconfig_file.check_writable(file)
    script = _with_fresh_token(script)
    _try(script, files, ca)
    with kubeconfig_file.lock_files(files):
        for file, text in merge_login(_texts(files), script, ca).items():
            kubeconfig_file.write(file, text)


def merge_login(texts: Mapping[Path, str], script: LoginScript, ca: str | None = None) -> dict[Path, str]:
    """Return the texts of the kubeconfigs that a login changes.

    Parameters
    ----------
    texts
        The text of each file, in order of precedence; empty for a file that does not exist.
    script
        The script to merge.
    ca
        A certificate authority to verify the server with, in PEM.
    """
    edits = {file: KubeconfigEdit(text, str(file)) for file, text in texts.items()}
    existing = [file for file, text in texts.items() if text.strip()]
    first = edits[existing[0] if existing else list(texts)[-1]]

    def entry(plural: str, name: str) -> MappingNode:
        edit = next((each for each in edits.values() if each.has(plural, name)), first)
        return edit.entry(plural, name)

    _merge_cluster(entry("clusters", script.cluster), script, ca)
    _merge_user(entry("users", script.user), script, first)
    context = entry("contexts", script.context)
    remove_malformed(context)
    assign(context, dict(script.context_values))
    first.use_context(script.context)
    return {file: edit.text() for file, edit in edits.items() if edit.has_changed(texts[file])}


def _merge_cluster(node: MappingNode, script: LoginScript, ca: str | None) -> None:
    remove_malformed(node)
    former = KubeconfigEdit.texts(node)
    values = dict(script.cluster_values)
    same_server = former.get("server", "").rstrip("/") == str(values["server"]).rstrip("/")
    remove(node, "tls-server-name")  # it belongs to the previous server
    if ca is not None:
        remove(node, "certificate-authority", "insecure-skip-tls-verify")
        values.pop("insecure-skip-tls-verify", None)
        values.pop("certificate-authority", None)
        values["certificate-authority-data"] = base64.b64encode(ca.encode()).decode()
    elif values.get("insecure-skip-tls-verify"):
        if same_server and any(former.get(key) for key in _AUTHORITY):
            del values["insecure-skip-tls-verify"]
        else:
            remove(node, *_AUTHORITY)
    elif "certificate-authority" in values:
        remove(node, *_AUTHORITY, "insecure-skip-tls-verify")
        values["certificate-authority"] = str(Path(str(values["certificate-authority"])).absolute())
    assign(node, values)


def _merge_user(node: MappingNode, script: LoginScript, edit: KubeconfigEdit) -> None:
    remove_malformed(node)
    if script.token is not None:
        remove(node, *(key for key in _OTHER_CREDENTIALS if key != "token"))
        assign(node, {"token": script.token.reveal()})
        return
    remove(node, *(key for key in _OTHER_CREDENTIALS if key != "auth-provider"))
    provider = edit.ensure_mapping(node, "auth-provider")
    if KubeconfigEdit.texts(provider).get("name") != "oidc":
        provider.value = []
    config = edit.ensure_mapping(provider, "config")
    assign(config, {key: value.reveal() for key, value in script.oidc.items()})
    assign(provider, {"name": "oidc"})


def _with_fresh_token(script: LoginScript) -> LoginScript:
    """Return the script with a valid ID token, which is refreshed at the provider only if it has expired."""
    if not script.oidc:
        return script
    token, issuer, client = (script.oidc[key].reveal() for key in ("id-token", "idp-issuer-url", "client-id"))
    oidc.check_token(Secret(token), issuer, client)
    ends = jwt.expiry(Secret(token))
    if ends is None or ends > datetime.now(UTC):
        return script
    tokens = oidc.refresh(script.oidc)
    fresh = {"id-token": tokens.id_token, "refresh-token": tokens.refresh_token}
    return replace(script, oidc={**script.oidc, **fresh})


def _try(script: LoginScript, files: Sequence[Path], ca: str | None) -> None:
    """Verify the credentials on the server, with the merged configuration."""
    token = script.token or script.oidc["id-token"]
    # The plain token, so that nothing is renewed or written before the server has answered.
    bare = replace(script, oidc={}, token=token)
    pending = merge_login(_texts(files), bare, ca)
    found = kubeconfigs.load(files, pending)
    if found is None:
        raise KubeconfigInvalid(_("There is no kubeconfig to log in with."))
    cluster = make_cluster(ContextAccess(found, script.context, lambda: None))
    try:
        who_am_i(cluster)
    except TokenExpired as error:
        raise TokenExpired(
            _(
                "{server} does not accept the token of this script.",
                server=server_url(str(script.cluster_values["server"])),
            ),
            why=jwt.expiry_in_words(token)
            or error.why
            or _("It is a token of another server, or truncated."),
            hint=copy_script_again(),
        ) from None
    finally:
        cluster.close()


def _texts(files: Sequence[Path]) -> dict[Path, str]:
    return {file: kubeconfigs.read(file) or "" for file in files}


def _read_authority(file: Path) -> str:
    try:
        text = pem.extract(file.read_bytes(), pem.CERTIFICATE)
    except OSError as error:
        raise KubeconfigInvalid(
            _("The CA file {file} cannot be read.", file=file), why=system_reason(error)
        ) from None
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise KubeconfigInvalid(
            _("The CA file {file} holds no PEM certificate.", file=file),
            hint=_("name a file with -----BEGIN CERTIFICATE----- in it, or leave out --ca"),
        )
    return text
