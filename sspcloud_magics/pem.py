"""PEM parsing as in Go: only blocks count, not the text that bundles and ``openssl x509 -text`` write around them."""

from __future__ import annotations

import base64
import binascii
import re

CERTIFICATE, PRIVATE_KEY = "CERTIFICATE", "PRIVATE KEY"

_BLOCK = re.compile(
    r"^-----BEGIN (?P<label>[^\n-]*)-----[ \t]*\r?\n.*?^-----END (?P=label)-----", re.MULTILINE | re.DOTALL
)


def blocks(text: str, kind: str) -> list[str]:
    r"""Return the PEM blocks of one kind.

    Parameters
    ----------
    kind
        `CERTIFICATE`, or `PRIVATE_KEY` with any word before it, such as ``EC PRIVATE KEY``.

    Examples
    --------
    >>> blocks("# mine\n-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n", CERTIFICATE)
    ['-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----']
    """
    found = ((each["label"], each.group()) for each in _BLOCK.finditer(text))
    return [
        block
        for label, block in found
        if label == kind or (kind == PRIVATE_KEY and label.endswith(f" {PRIVATE_KEY}"))
    ]


def extract(content: bytes, kind: str) -> str:
    """Return the blocks of one kind as one text; without any, return the whole content, which OpenSSL then refuses."""
    # The text around the blocks may have any encoding; base64 is the same in all of them.
    text = content.decode("latin-1")
    return "\n".join(blocks(text, kind)) or text


def decode(data: str) -> bytes | None:
    """Decode base64; return None if it is invalid. As in Go, line breaks are ignored, and only they."""
    try:
        return base64.b64decode(data.translate({ord("\n"): None, ord("\r"): None}), validate=True)
    except (binascii.Error, ValueError):
        return None
