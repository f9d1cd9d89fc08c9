"""The access to S3: address and keys from the environment of the service, or from a profile of the AWS tools.

They are read again for each use, because the datalab's keys last a day, and a new login may replace them in the meantime.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sspcloud_magics.errors import CredentialsNotFound
from sspcloud_magics.i18n import _
from sspcloud_magics.secret import Secret

# The AWS tools' variables first; ``AWS_S3_ENDPOINT`` is Onyxia's.
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_S3_ENDPOINT")
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
_DEFAULT_REGION = "us-east-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Access:
    """The address of an S3 server, and the keys to it.

    Parameters
    ----------
    endpoint
        Its host and port.
    use_tls
        Whether it is reached by https.
    region
        Its region.
    key
        The access key.
    secret, token
        The secret key, and the token of a temporary session.
    """

    endpoint: str
    use_tls: bool
    region: str
    key: str
    secret: Secret
    token: Secret | None


def find_access(environment: Mapping[str, str] | None = None) -> S3Access:
    """Return the access to S3 of the environment, else of the AWS profile.

    Parameters
    ----------
    environment
        The environment variables; those of this process if None.

    Raises
    ------
    CredentialsNotFound
        If neither has keys.

    Examples
    --------
    >>> find_access({"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_S3_ENDPOINT": "minio.example"})
    S3Access(endpoint='minio.example', use_tls=True, region='us-east-1', key='k', secret=Secret(●●●●●●), token=None)
    """
    given = os.environ if environment is None else environment
    values = {
        "key": given.get("AWS_ACCESS_KEY_ID", ""),
        "secret": given.get("AWS_SECRET_ACCESS_KEY", ""),
        "token": given.get("AWS_SESSION_TOKEN", ""),
    }
    profile: Mapping[str, str] = {}
    if not (values["key"] and values["secret"]):
        profile = _read_profile(given)
        values = {
            "key": profile.get("aws_access_key_id", ""),
            "secret": profile.get("aws_secret_access_key", ""),
            "token": profile.get("aws_session_token", ""),
        }
    if not (values["key"] and values["secret"]):
        raise CredentialsNotFound(
            _("No keys to S3 were found."),
            why=_("Neither AWS_ACCESS_KEY_ID nor a profile in ~/.aws/credentials is there."),
            hint=_("in a service of the datalab, keep S3 enabled when you launch it"),
        )
    endpoint = next((given[name] for name in _ENDPOINTS if given.get(name)), profile.get("endpoint_url", ""))
    region = next((given[name] for name in _REGIONS if given.get(name)), profile.get("region", ""))
    parts = urlsplit(endpoint if "//" in endpoint else f"https://{endpoint}")
    region = region or _DEFAULT_REGION
    return S3Access(
        endpoint=parts.netloc or f"s3.{region}.amazonaws.com",
        use_tls=parts.scheme != "http",
        region=region,
        key=values["key"],
        secret=Secret(values["secret"]),
        token=Secret(values["token"]) if values["token"] else None,
    )


def _read_profile(environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return the entries of the chosen profile in the AWS tools' two files."""
    home = Path(environment.get("HOME", "~")).expanduser()
    name = environment.get("AWS_PROFILE", "default")
    found: dict[str, str] = {}
    in_config = name if name == "default" else f"profile {name}"  # not translated: the file's
    for variable, default, section in (
        ("AWS_CONFIG_FILE", ".aws/config", in_config),
        ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials", name),
    ):
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read(environment.get(variable) or home / default, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):  # the keys may still be in the other file
            continue
        if parser.has_section(section):
            found |= dict(parser.items(section))
    return found
