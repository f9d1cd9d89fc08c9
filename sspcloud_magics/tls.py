"""The TLS context for an `Access`: whom to trust, and what to show. One place, so that no two disagree."""

from __future__ import annotations

import contextlib
import ssl

from sspcloud_magics import pem
from sspcloud_magics.access import Access
from sspcloud_magics.errors import KubeconfigInvalid
from sspcloud_magics.private_file import private_file
from sspcloud_magics.secret import without_frames


@without_frames
def tls_context(access: Access) -> ssl.SSLContext:
    """Return the context that verifies the server of `access` and presents its client certificate.

    Parameters
    ----------
    access
        The server and the credentials. The name to verify is the caller's to pass
        (``access.tls_server_name`` or the URL's host).

    Returns
    -------
    ssl.SSLContext
        A client context, TLS 1.2 or newer.

    Raises
    ------
    KubeconfigInvalid
        If a certificate or key is not PEM, or the two do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Python 3.13's create_default_context sets VERIFY_X509_STRICT, which refuses the certificate
    # authorities that many clusters made for themselves (no authority key identifier). Go takes them.
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
    """Trust the certificates of a text; as Go does, each that can be read, if there is one."""
    for certificate in pem.blocks(authorities, pem.CERTIFICATE):
        with contextlib.suppress(ssl.SSLError, ValueError):
            context.load_verify_locations(cadata=certificate)
    if not context.cert_store_stats()["x509"]:
        raise KubeconfigInvalid(
            "The cluster's certificate authority cannot be read.",
            why="It holds no certificate in PEM.",
            hint="copy certificate-authority-data again from where you have the configuration",
        )


def _present(context: ssl.SSLContext, certificate: str, key: str) -> None:
    # OpenSSL reads key pairs from files only.
    pair, remove = private_file(f"{certificate.rstrip()}\n{key.rstrip()}\n")
    try:
        # The empty password: an encrypted key fails instead of asking on the terminal.
        context.load_cert_chain(pair, password="")
    except (ssl.SSLError, ValueError) as error:
        raise KubeconfigInvalid(
            "The client certificate and its key cannot be used.",
            why=f"They are not PEM, or do not belong together ({error.__class__.__name__}).",
            hint="copy client-certificate-data and client-key-data again from where you have them",
        ) from None
    finally:
        remove()
