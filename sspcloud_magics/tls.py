"""The TLS context for an `Access`: the trusted authorities and the client certificate, the same for all connections."""

from __future__ import annotations

import contextlib
import ssl

from sspcloud_magics import pem
from sspcloud_magics.access import Access
from sspcloud_magics.errors import KubeconfigInvalid
from sspcloud_magics.i18n import _
from sspcloud_magics.private_file import private_file
from sspcloud_magics.secret import without_frames


@without_frames
def tls_context(access: Access) -> ssl.SSLContext:
    """Return the context that verifies the server of `access` and presents its client certificate.

    Parameters
    ----------
    access
        The server and the credentials. The caller passes the name to verify
        (``access.tls_server_name`` or the URL's host).

    Returns
    -------
    ssl.SSLContext
        A client context, TLS 1.2 or newer.

    Raises
    ------
    KubeconfigInvalid
        If a certificate or key is not PEM, or the key does not match the certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Python 3.13's create_default_context sets VERIFY_X509_STRICT, which rejects the self-made certificate
    # authorities of many clusters (no authority key identifier). Go accepts them.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if access.insecure_skip_tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif access.ca is not None:
        _trust(context, access.ca)
    else:
        context.load_default_certs()
    if access.client_certificate is not None and access.client_key is not None:
        _present(context, access.client_certificate, access.client_key.reveal())
    return context


def _trust(context: ssl.SSLContext, authorities: str) -> None:
    """Trust the certificates of a PEM text. As in Go, unreadable ones are skipped, if at least one can be read."""
    for certificate in pem.blocks(authorities, pem.CERTIFICATE):
        with contextlib.suppress(ssl.SSLError, ValueError):
            context.load_verify_locations(cadata=certificate)
    if not context.cert_store_stats()["x509"]:
        raise KubeconfigInvalid(
            _("The cluster's certificate authority cannot be read."),
            why=_("It holds no PEM certificate."),
            hint=_("copy certificate-authority-data again from the source of the configuration"),
        )


def _present(context: ssl.SSLContext, certificate: str, key: str) -> None:
    # OpenSSL reads key pairs only from files.
    pair, remove = private_file(f"{certificate.rstrip()}\n{key.rstrip()}\n")
    try:
        # With an empty password, an encrypted key raises an error instead of prompting in the terminal.
        context.load_cert_chain(pair, password="")
    except (ssl.SSLError, ValueError) as error:
        raise KubeconfigInvalid(
            _("The client certificate and its key cannot be used."),
            why=_("They are not PEM, or do not match each other ({error}).", error=error.__class__.__name__),
            hint=_(
                "copy client-certificate-data and client-key-data again from the source of the configuration"
            ),
        ) from None
    finally:
        remove()
