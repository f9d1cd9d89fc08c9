"""Checks of the route to the cluster: configuration, server, credentials and identity."""

from __future__ import annotations

import getpass
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sspcloud_magics import log_file
from sspcloud_magics.bounded_json import parse
from sspcloud_magics.cluster.api.api_errors import ANONYMOUS
from sspcloud_magics.cluster.api.clock_skew import describe_skew, measure_skew
from sspcloud_magics.cluster.requests.permissions import warning_of, who_am_i
from sspcloud_magics.doctor.context import DoctorContext
from sspcloud_magics.doctor.findings import Finding, fine, look, make_broken
from sspcloud_magics.errors import ServerUnreachable
from sspcloud_magics.i18n import _, format_seconds
from sspcloud_magics.i18n.system_reasons import system_reason
from sspcloud_magics.printable import shorten
from sspcloud_magics.proxies import proxy_for

# Timeout of a connection to the server, in seconds.
_TIMEOUT = 10.0


def configuration(context: DoctorContext) -> Iterator[Finding]:
    """Find the configuration: its file and context, and the sources that were ignored."""
    step = "Configuration"
    context.personal |= {_user(), Path.home().name, socket.gethostname()} - {"", "root"}
    context.cluster = cluster = context.find()
    seen = [
        _("{source}: {outcome}", source=considered.source, outcome=considered.outcome)
        for considered in cluster.considered
    ]
    what = _("{source}, namespace {namespace}.", source=cluster.source, namespace=cluster.namespace)
    if cluster.file_warnings:
        warnings = [each.what for each in cluster.file_warnings]
        yield look(step, what, *seen, *warnings, hint="\n".join(each.hint for each in cluster.file_warnings))
    else:
        yield fine(step, what, *seen)
    context.personal |= {cluster.namespace.partition("-")[2]} - {""}


def log(_context: DoctorContext) -> Iterator[Finding]:
    """Report the path of the log, if it is on."""
    file = log_file.path()
    if file is not None:
        level = logging.getLevelName(log_file.level()).lower()
        yield fine(
            "Log",
            _("It is written to {file}.", file=file),
            _("level {level}; it contains no secrets", level=level),
        )


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


def server(context: DoctorContext) -> Iterator[Finding]:
    """Resolve the server's name, connect, verify TLS, and compare the clocks."""
    step = "Server"
    cluster = context.get_cluster()
    access = cluster.access()
    parts = urlsplit(access.server)
    proxy = proxy_for(access, context.environ)
    seen = []
    if proxy is None:
        seen += [_resolve(unquote(parts.hostname or ""), parts.port or 443, access.server)]
    else:
        seen += [_("by the proxy {host}:{port}", host=proxy.host, port=proxy.port)]
    began = time.perf_counter()
    status, headers, body = cluster.api.probe("/version")
    seen.append(
        _(
            "it answered in {time} ({status})",
            time=format_seconds(time.perf_counter() - began),
            status=status,
        )
    )
    context.server_answers = True
    try:
        seen.append(f"Kubernetes {shorten(str(parse(body)['gitVersion']), 80)}")  # not translated: a name
    except (ValueError, KeyError, TypeError):
        seen.append(_("it does not report its version"))
    what = (
        _("{server} answers over TLS.", server=access.server)
        if access.is_encrypted
        else _("{server} answers over plain HTTP.", server=access.server)
    )
    warning = warning_of(cluster)
    if warning:
        hint = _("%k8s_login FILE --ca CA.pem   saves a certificate authority, which verifies it")
        if not access.is_encrypted:
            hint = _("use the server's https:// address")
        what = " ".join((what, _("Its certificate is not verified.")))
        yield look(step, what, *seen, warning, hint=hint)
    else:
        yield fine(step, what, *seen, _("its certificate verifies"))
    difference = measure_skew(headers.get("Date"))
    wrong = describe_skew(difference)
    if wrong:
        yield look(
            "Clock", wrong, hint=_("set this machine's clock: tokens seem to expire too early or too late")
        )
    elif difference is not None:
        yield fine("Clock", _("This machine's clock agrees with the server's."))


def _resolve(host: str, port: int, url: str) -> str:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ServerUnreachable(
            _("The name {host} of the server {url} is not known here.", host=host, url=url),
            why=system_reason(error),
            hint=_("check the network (VPN, DNS) and the address"),
        ) from None
    addresses = ", ".join(dict.fromkeys(str(each[4][0]) for each in found))
    is_name = addresses != host
    try:
        socket.create_connection((host, port), _TIMEOUT).close()
    except OSError as error:
        raise ServerUnreachable(
            _(
                "{host} is {addresses}, and accepts no connections on port {port}.",
                host=host,
                addresses=addresses,
                port=port,
            )
            if is_name
            else _("{host} accepts no connections on port {port}.", host=host, port=port),
            why=system_reason(error),
            hint=_("check the network (VPN, firewall, proxy) and the port"),
        ) from None
    if not is_name:
        return _("{host} accepts connections on port {port}", host=host, port=port)
    return _(
        "{host} is {addresses}, and accepts connections on port {port}",
        host=host,
        addresses=addresses,
        port=port,
    )


def credentials(context: DoctorContext) -> Iterator[Finding]:
    """Check the expiry of the credentials."""
    expiry = context.get_cluster().expiry()
    words = expiry.describe() or _("the credentials state no expiry")
    warning = expiry.warning()
    if warning:
        yield look(
            "Credentials",
            warning,
            words,
            hint=_("copy the login script of your account page again: %k8s_login config.sh"),
        )
    else:
        yield fine("Credentials", f"{words[0].upper()}{words[1:]}.")


def identity(context: DoctorContext) -> Iterator[Finding]:
    """Check the identity that the server sees."""
    found = who_am_i(context.get_cluster())
    context.personal |= {found.user.rpartition(":")[2], found.user.partition("-")[2]} - {""}
    if found.user == ANONYMOUS:
        yield make_broken(
            "Identity",
            _("The server does not know who you are."),
            hint=_("log in again: %k8s_login config.sh"),
        )
        return
    context.identity = found
    if found.user:
        yield fine(
            "Identity",
            _("You are {user}.", user=found.user),
            _("groups: {groups}", groups=", ".join(found.groups)),
        )
    else:
        yield fine(
            "Identity",
            _("The server knows you, but does not report your user name."),
            _("it is older than Kubernetes 1.28, or forbids the request"),
        )
