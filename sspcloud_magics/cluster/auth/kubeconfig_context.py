"""A context of a kubeconfig as an `Access`: its server, trusted authorities and credentials.

The precedence is that of client-go: inline data over a file, a token file over a
token, a token over an exec plugin. Unsupported settings raise an error and are never ignored: a
request under another identity than the file names would be worse than none.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sspcloud_magics import addresses, pem
from sspcloud_magics.access import Access
from sspcloud_magics.cluster.auth import jwt
from sspcloud_magics.cluster.auth.exec_plugin import ExecPlugin
from sspcloud_magics.cluster.auth.expiry import Expiry
from sspcloud_magics.cluster.auth.oidc_credential import OidcCredential
from sspcloud_magics.cluster.auth.token_file import TokenFile
from sspcloud_magics.cluster.config.kubeconfig import Entry, Kubeconfig, usable
from sspcloud_magics.errors import KubeconfigInvalid, NotLoggedIn, TokenExpired
from sspcloud_magics.i18n import N_, _
from sspcloud_magics.i18n.system_reasons import system_reason
from sspcloud_magics.secret import Form, Secret, check_secret, without_frames
from sspcloud_magics.user_files import short_path

_NO_ENTRY = {
    "cluster": N_("The context {name} in {file} names no cluster."),
    "user": N_("The context {name} in {file} names no user."),
}
_MISSING_ENTRY = {
    "cluster": N_("The context {name} in {file} names the cluster {entry!r}, which does not exist."),
    "user": N_("The context {name} in {file} names the user {entry!r}, which does not exist."),
}
_PASSWORD = N_(
    "The user {name} in {file} asks for a user name and password, which Kubernetes no longer accepts since 1.19."
)
_UNSUPPORTED = {
    "username": _PASSWORD,
    "password": _PASSWORD,
    "as": N_("The user {name} in {file} asks for impersonation (as), which is not supported here."),
    "as-uid": N_("The user {name} in {file} asks for impersonation (as-uid), which is not supported here."),
    "as-groups": N_(
        "The user {name} in {file} asks for impersonation (as-groups), which is not supported here."
    ),
    "as-user-extra": N_(
        "The user {name} in {file} asks for impersonation (as-user-extra), which is not supported here."
    ),
}


def log_in_again() -> str:
    """Return the hint to log in with the script of the account page."""
    return _(
        "copy the login script of your account page (Connection to Kubernetes) into a file, then: %k8s_login FILE"
    )


def not_sent() -> str:
    """Return the reason for which credentials are not sent without TLS."""
    return _("Its address begins with http://, so anyone on the network could read them.")


def without_tls() -> str:
    """Return the hint for a server without TLS."""
    return _(
        "write https:// if the server supports TLS\n"
        "if you trust the whole network: %config SSPCloud.credentials_without_tls = True "
        "(credentials_without_tls=True in Python)"
    )


class ContextAccess:
    """A context of a kubeconfig, with renewal of its credentials.

    Parameters
    ----------
    kubeconfig
        The configuration.
    name
        The context; the current one if None. It stays the same when the files are read again.
    reread
        Reads the files again; returns None if they no longer exist.
    credentials_without_tls
        Use the credentials for an ``http://`` server too.
    """

    @without_frames
    def __init__(
        self,
        kubeconfig: Kubeconfig,
        name: str | None,
        reread: Callable[[], Kubeconfig | None],
        *,
        credentials_without_tls: bool = False,
    ) -> None:
        self._without_tls = credentials_without_tls
        context = kubeconfig.context(name)
        self._name = context.name
        self._reread = reread
        # The token of the OIDC auth provider, if the user has one; kept while the user entry stays the same.
        self._oidc: OidcCredential | None = None
        self._load(kubeconfig)
        self._file = context.file
        self.namespace = context.text("namespace") or "default"

    @property
    def description(self) -> str:
        """A description for the user."""
        return _("context {name} of {file}", name=self._name, file=short_path(self._file))

    @property
    def server(self) -> str:
        """The base URL of the API server."""
        return str(self._trust["server"])

    def _load(self, kubeconfig: Kubeconfig) -> None:
        context = kubeconfig.context(self._name)
        self._user = _user(kubeconfig, context)
        self._is_anonymous = context.text("user") is None
        cluster = _get_entry(kubeconfig, context, "cluster")
        self._trust = _trust(cluster)
        self._sources = tuple(dict.fromkeys((context.file, cluster.file, self._user.file)))
        self._plugin = _plugin(self._user, self._trust, cluster)
        token_file = self._user.path("tokenFile")
        self._token_file = TokenFile(token_file) if token_file else None
        self._load_oidc()

    def _load_oidc(self) -> None:
        user, kept = self._user, self._oidc
        if not user.values.get("auth-provider"):
            self.close()
            self._oidc = None
        elif kept is not None and (kept.user.file, kept.user.name) == (user.file, user.name):
            kept.update(user)
        else:
            self.close()
            self._oidc = OidcCredential(user)

    @without_frames
    def current(self) -> Access:
        """Return the access with credentials that have not expired, as far as they state their expiry."""
        return self._access(again=False)

    @without_frames
    def renew(self, refused: Access) -> Access:
        """Return an access that differs from `refused`, after reading the files and running the plugin again.

        Raises
        ------
        TokenExpired
            If there are no other credentials.
        """
        kubeconfig = self._reread()
        if kubeconfig is not None:
            kept = self._plugin
            self._load(kubeconfig)
            if kept is not None and self._plugin is not None and kept.same_command(self._plugin):
                self._plugin = kept
        fresh = self._access(again=False)
        if fresh == refused and self._plugin is not None:
            fresh = self._access(again=True)
        elif fresh == refused and self._uses_oidc and self._oidc is not None:
            self._oidc.renew(refused.token)
            fresh = self._access(again=False)
        if fresh == refused and not self._has_credentials:
            raise NotLoggedIn(
                _("{server} asks for credentials, and none were sent.", server=fresh.server),
                why=_("Context {name} of {file} names no user.", name=self._name, file=self._file)
                if self._is_anonymous
                else not_sent(),
                hint=log_in_again() if self._is_anonymous else without_tls(),
            )
        if fresh == refused:
            raise TokenExpired(
                _(
                    "The cluster no longer accepts the credentials of {source}.",
                    source=self.description,
                ),
                why=jwt.expiry_in_words(refused.token),
                hint=_(
                    "{log_in_again}\nthen run the cell again: open forwards and connections stay open",
                    log_in_again=log_in_again(),
                ),
            )
        return fresh

    @without_frames
    def expiry(self) -> Expiry:
        """Return the expiry of the current credentials, if they state one."""
        if not self._has_credentials:
            return Expiry()
        if self._uses_oidc and self._oidc is not None:
            token, login = self._oidc.ends()
            return Expiry(token, login, renews=True)
        if self._plugin is not None:
            return Expiry(renews=True)  # the plugin is not run for this
        return Expiry(jwt.expiry(self._token()))

    def files(self) -> list[tuple[str, Path]]:
        """Return the files that hold or print credentials, each with its kind."""
        program = self._plugin.program if self._plugin is not None and self._has_credentials else None
        return [
            *(("kubeconfig", file) for file in self._sources),
            *([("command", program)] if program is not None else []),
            *([("token", self._token_file.path)] if self._token_file is not None else []),
        ]

    def close(self) -> None:
        """Stop the timer that renews credentials ahead of time, until they are used again."""
        if self._oidc is not None:
            self._oidc.close()

    @property
    def _has_credentials(self) -> bool:
        """Whether the user has credentials that may be sent: not in clear text, as in client-go's ClientConfig."""
        is_encrypted = self.server.startswith("https://")
        return not self._is_anonymous and (is_encrypted or self._without_tls)

    @property
    def _uses_oidc(self) -> bool:
        """Whether the token comes from the auth provider; a token or token file has precedence."""
        return self._oidc is not None and self._token_file is None and self._user.text("token") is None

    def _access(self, *, again: bool) -> Access:
        trust, user = self._trust, self._user
        if not self._has_credentials:
            return Access(**trust)
        certificate = _pem(user, "client-certificate", pem.CERTIFICATE)
        key = _pem(user, "client-key", pem.PRIVATE_KEY)
        if (certificate is None) != (key is None):
            missing = "client-key" if key is None else "client-certificate"
            raise KubeconfigInvalid(
                _(
                    "The user {name} in {file} lacks {missing}.",
                    name=user.name,
                    file=user.file,
                    missing=missing,
                )
            )
        token = self._token()
        hidden_key = _secret(key, "client-key", Form.PEM, user) if key else None
        if token is None and self._plugin is not None:
            given = self._plugin.credential(again=again)
            token = given.token
            if given.client_certificate is not None:
                certificate, hidden_key = given.client_certificate, given.client_key
        if token is None and certificate is None:
            raise NotLoggedIn(
                _("The user {name} in {file} has no credentials.", name=user.name, file=user.file),
                why=_("It holds no token, no client certificate and no login command."),
                hint=log_in_again(),
            )
        return Access(
            **trust,
            token=token,
            client_certificate=certificate,
            client_key=hidden_key,
            credentials_without_tls=self._without_tls,
        )

    def _token(self) -> Secret | None:
        token = self._user.text("token")
        if self._token_file is not None:
            try:
                return self._token_file.read()
            except NotLoggedIn:
                if token is None:
                    raise
        if token is not None:
            return _secret(token.strip(), "token", Form.TOKEN, self._user)
        return self._oidc.current() if self._oidc is not None else None


def _secret(value: str, key: str, form: Form, user: Entry) -> Secret:
    def refusal(why: str) -> KubeconfigInvalid:
        what = _(
            "The {key} of the user {name} in {file} cannot be used.", key=key, name=user.name, file=user.file
        )
        return KubeconfigInvalid(what, why=why, hint=log_in_again())

    return check_secret(value, form, refusal)


def _get_entry(kubeconfig: Kubeconfig, context: Entry, kind: str) -> Entry:
    name = context.text(kind)
    if name is None:
        raise KubeconfigInvalid(_(_NO_ENTRY[kind], name=context.name, file=context.file))
    entries = kubeconfig.clusters if kind == "cluster" else kubeconfig.users
    if name not in entries:
        raise KubeconfigInvalid(
            _(_MISSING_ENTRY[kind], name=context.name, file=context.file, entry=name),
            why=kubeconfig.describe_known(f"{kind}s"),
            hint=log_in_again(),
        )
    return usable(entries[name], kind)


def _user(kubeconfig: Kubeconfig, context: Entry) -> Entry:
    """Return the user's entry, or an empty one if the context names no user, as for ``kubectl proxy``."""
    if context.text("user") is None:
        return Entry("", {}, context.file)
    entry = _get_entry(kubeconfig, context, "user")
    for refused, message in _UNSUPPORTED.items():
        if entry.values.get(refused):
            raise KubeconfigInvalid(
                _(message, name=entry.name, file=entry.file),
                hint=_("use a user with a token, a client certificate or an exec plugin"),
            )
    return entry


def _trust(cluster: Entry) -> dict[str, Any]:
    server = cluster.text("server")
    if server is None:
        raise KubeconfigInvalid(
            _("The cluster {name} in {file} has no server.", name=cluster.name, file=cluster.file)
        )
    insecure = cluster.flag("insecure-skip-tls-verify")
    ca = _pem(cluster, "certificate-authority", pem.CERTIFICATE)
    if insecure and ca is not None:
        raise KubeconfigInvalid(
            _("The cluster {name} in {file} contradicts itself.", name=cluster.name, file=cluster.file),
            why=_("It names a certificate authority, and turns verification off."),
            hint=_("remove insecure-skip-tls-verify: with the authority it is not needed"),
        )
    proxy = cluster.text("proxy-url")
    return {
        "server": server_url(server),
        "ca": ca,
        "insecure_skip_tls_verify": insecure,
        "tls_server_name": cluster.text("tls-server-name"),
        "proxy": Secret(proxy) if proxy else None,
    }


def server_url(text: str) -> str:
    """Return the base URL of a server; ``https`` if `text` has no scheme.

    Raises
    ------
    KubeconfigInvalid
        If it is not the address of a server.
    """
    url = text.strip()
    url = url if "://" in url else f"https://{url}"
    address = addresses.parse(url)
    hint = _("write it like https://apiserver.example:6443")
    if address is None or address.scheme not in ("https", "http"):
        # A text with an @ may hold a password: do not quote it.
        if "@" in text:
            what = _("The server's address is not the address of a server.")
        else:
            what = _("{text!r} is not the address of a server.", text=text)
        raise KubeconfigInvalid(what, hint=hint)
    if address.user_info is not None:
        raise KubeconfigInvalid(
            _("The server's address holds a user, and perhaps a password, before its @."),
            why=_("Credentials belong in the kubeconfig's users; an address is displayed."),
            hint=hint + "\n" + _("if a real password stands before the @, change it"),
        )
    return url.rstrip("/")


def _plugin(user: Entry, trust: dict[str, Any], cluster: Entry) -> ExecPlugin | None:
    spec = user.values.get("exec")
    if spec is None:
        return None
    if not isinstance(spec, dict):
        raise KubeconfigInvalid(_("exec of {name} in {file} is malformed.", name=user.name, file=user.file))
    info: dict[str, Any] = {"server": trust["server"]}
    if trust["ca"]:
        info["certificate-authority-data"] = base64.b64encode(trust["ca"].encode()).decode()
    if trust["insecure_skip_tls_verify"]:
        info["insecure-skip-tls-verify"] = True
    if trust["tls_server_name"]:
        info["tls-server-name"] = trust["tls_server_name"]
    if trust["proxy"]:
        info["proxy-url"] = trust["proxy"].reveal()
    extensions = cluster.values.get("extensions")
    for extension in extensions if isinstance(extensions, list) else ():
        if isinstance(extension, dict) and extension.get("name") == "client.authentication.k8s.io/exec":
            info["config"] = extension.get("extension")
    try:
        return ExecPlugin(spec, user.file.parent, info)
    except KubeconfigInvalid as error:
        owner = _("It belongs to the user {name} in {file}.", name=user.name, file=user.file)
        why = f"{error.why} {owner}".lstrip()
        raise KubeconfigInvalid(error.what, why=why, hint=error.hint) from None


def _pem(entry: Entry, key: str, kind: str) -> str | None:
    """Return the PEM text of ``KEY-data`` (base64), else of the file that ``KEY`` names."""
    data = entry.text(f"{key}-data")
    if data is not None:
        content = pem.decode(data)
        if content is None:
            raise KubeconfigInvalid(
                _(
                    "{key}-data of {name} in {file} is not base64 of a PEM text.",
                    key=key,
                    name=entry.name,
                    file=entry.file,
                ),
                hint=log_in_again(),
            )
        return pem.extract(content, kind)
    path = entry.path(key)
    if path is None:
        return None
    try:
        return pem.extract(path.read_bytes(), kind)
    except OSError as error:
        what = _(
            "{path} ({key} of {name} in {file}) cannot be read.",
            path=path,
            key=key,
            name=entry.name,
            file=entry.file,
        )
        raise KubeconfigInvalid(what, why=system_reason(error)) from None
