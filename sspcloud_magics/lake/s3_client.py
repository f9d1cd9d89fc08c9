"""Signed requests to an S3 server (AWS Signature Version 4), and the errors for its refusals."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from sspcloud_magics.errors import LoginRefused, QueryFailed, SspcloudError
from sspcloud_magics.i18n import _, quote_words
from sspcloud_magics.lake.s3_access import S3Access
from sspcloud_magics.platforms import current as current_platform
from sspcloud_magics.printable import shorten

_OVERLOADED = (500, 502, 503, 504)

_EXPIRED = ("ExpiredToken", "InvalidAccessKeyId", "InvalidTokenId", "InvalidToken", "TokenRefreshRequired")
_WRONG_KEYS = ("SignatureDoesNotMatch", "RequestTimeTooSkewed")


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer.

    Parameters
    ----------
    body
        Its content.
    etag
        The mark of the content that was sent; empty if there is none.
    """

    body: str
    etag: str


def request(
    access: S3Access,
    method: str,
    path: str,
    query: Mapping[str, str] | None = None,
    body: bytes | bytearray = b"",
    *,
    attempts: int = 3,
    timeout: float = 60.0,
) -> Answer:
    """Send a request, again if the server does not answer, and return the answer.

    Parameters
    ----------
    access
        The server and the keys.
    method
        The method of HTTP.
    path
        The bucket and the key: ``bucket/name.parquet``.
    query
        The parameters.
    body
        The content.
    attempts, timeout
        How often it is sent if the server does not answer or is overloaded, and the seconds without an answer.

    Raises
    ------
    LoginRefused
        If the server refuses the keys, or they may not do this.
    QueryFailed
        If it does not answer, or refuses for another reason.
    """
    scheme = "https" if access.use_tls else "http"
    target = f"/{quote(path, safe='/-_.~')}"
    asked = urlencode(sorted((query or {}).items()), quote_via=quote, safe="-_.~")
    url = f"{scheme}://{access.endpoint}{target}{'?' if asked else ''}{asked}"
    failure: SspcloudError | None = None
    for _attempt in range(attempts):
        headers = sign(access, method, target, asked, body=body, moment=datetime.now(UTC))
        headers["Content-Type"] = "application/octet-stream"  # urllib's would be that of a form
        sent = urllib.request.Request(url, body or None, headers, method=method)  # noqa: S310 - http or https
        try:
            with urllib.request.urlopen(sent, timeout=timeout) as answer:  # noqa: S310 # nosec B310
                text = answer.read().decode(errors="replace") if method != "PUT" else ""
                # The end of an upload may fail after the status was sent.
                if "<Error>" not in text:
                    return Answer(text, answer.headers.get("ETag", ""))
                failure = explain_refusal(text, path)
        except urllib.error.HTTPError as error:
            failure = explain_refusal(error.read().decode(errors="replace") or str(error), path)
            if error.code not in _OVERLOADED:
                break
        except (OSError, http.client.HTTPException) as error:
            failure = QueryFailed(
                _("The S3 server {endpoint} does not answer.", endpoint=access.endpoint),
                why=quote_words(shorten(str(error))),
                hint=_("check AWS_S3_ENDPOINT and the network, then run the cell again"),
            )
    assert failure is not None  # noqa: S101 - each attempt returns or sets it # nosec B101
    raise failure


def sign(
    access: S3Access, method: str, path: str, query: str, *, body: bytes | bytearray, moment: datetime
) -> dict[str, str]:
    """Return the headers of a request, with its signature.

    Parameters
    ----------
    access
        The server and the keys.
    method, path, query, body
        The request; path and query are quoted, and the query is sorted.
    moment
        The time in UTC.
    """
    stamp, day = moment.strftime("%Y%m%dT%H%M%SZ"), moment.strftime("%Y%m%d")
    headers = {
        "host": access.endpoint,
        "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
        "x-amz-date": stamp,
    }
    if access.token is not None:
        headers["x-amz-security-token"] = access.token.reveal()
    signed = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = f"{method}\n{path}\n{query}\n{lines}\n{signed}\n{headers['x-amz-content-sha256']}"
    scope = f"{day}/{access.region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{access.secret.reveal()}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return headers | {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={access.key}/{scope}, SignedHeaders={signed}, "
        f"Signature={signature}"
    }


def read_tag(text: str, name: str) -> str:
    """Return the content of the first element of that name in an answer; empty if there is none.

    Examples
    --------
    >>> read_tag("<a><UploadId>x</UploadId></a>", "UploadId")
    'x'
    """
    found = re.search(f"<{name}>(.*?)</{name}>", text, re.DOTALL)
    return found[1] if found else ""


def explain_refusal(text: str, path: str = "") -> SspcloudError:
    """Return the error for a refusal of S3, ours or one that DuckDB quotes.

    Parameters
    ----------
    text
        The answer.
    path
        The bucket and the key, if they are known.
    """
    code = read_tag(text, "Code")
    known = (*_EXPIRED, *_WRONG_KEYS, "AccessDenied", "NoSuchBucket")
    code = code or next((each for each in known if each in text), "")
    message = read_tag(text, "Message") or text.partition("\n")[0]
    why = quote_words(shorten(message if code in message else f"{code}: {message}", 300))
    quoted = re.search(r"s3://([^/\s'\"]+)", text)
    bucket = path.partition("/")[0] or (quoted[1] if quoted else "")
    if code == "NoSuchBucket":
        return QueryFailed(
            _("There is no bucket {bucket}.", bucket=bucket) if bucket else _("There is no such bucket."),
            why=why,
            hint=_("check its name: s3://BUCKET/NAME.parquet. On the datalab, yours has your username"),
        )
    if code == "AccessDenied":
        return LoginRefused(
            _("S3 does not allow this in the bucket {bucket}.", bucket=bucket)
            if bucket
            else _("S3 does not allow this."),
            why=why,
            hint=_(
                "use a bucket of yours, or ask its owner for access. On the datalab, yours has your username"
            ),
        )
    if code in _EXPIRED or code in _WRONG_KEYS or "HTTP 403" in text or "HTTP Error 403" in text:
        page = current_platform().storage_page
        return LoginRefused(
            _("S3 refuses the keys, or they have expired."),
            why=why,
            hint=_("copy new keys from {page} into the environment (%env AWS_ACCESS_KEY_ID=…)", page=page)
            if page
            else _("put new keys into the environment (%env AWS_ACCESS_KEY_ID=…)"),
        )
    return QueryFailed(_("S3: {words}", words=why))


def is_refusal(text: str) -> bool:
    """Whether a text of DuckDB quotes a refusal of S3 that `explain_refusal` knows."""
    return any(sign in text for sign in (*_EXPIRED, *_WRONG_KEYS, "AccessDenied", "NoSuchBucket", "HTTP 403"))
