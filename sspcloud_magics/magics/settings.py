"""``%config SSPCloud.…``: which cluster, as whom, and of which image relays are, for those who want to say it once.

A value that does not fit is refused with a word and the former one stays. IPython keeps refused
values in its configuration all the same and offers them again at the next ``%reload_ext``; then they are
left out with a warning, so that the extension loads.
"""

from __future__ import annotations

import difflib
import re
import warnings
import zoneinfo
from typing import Any
from urllib.parse import urlsplit

from traitlets import Any as AnyValue
from traitlets import TraitError
from traitlets.config import Configurable

from sspcloud_magics import session
from sspcloud_magics.log_file import LEVELS
from sspcloud_magics.magics.query_history import QueryHistory
from sspcloud_magics.session import ClusterChoice, QueryDefaults

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_IMAGE = re.compile(r"[a-z0-9][-a-zA-Z0-9._/:@]{0,499}")


class Setting(AnyValue):
    """A value that is refused with a word where it does not fit, and left out while the extension loads."""

    empty: str | bool | float = ""

    def validate(self, obj: Any, value: object) -> str | bool | float:
        """Return the value that holds: this one, or nothing where it does not fit and cannot be refused."""
        if value is None or value == "":
            return self.empty
        problem = self.problem(value)
        if not problem and isinstance(value, str | bool | int | float):
            return value
        # The value is not repeated: it may hold a password.
        message = f"This does not fit SSPCloud.{self.name}: {problem}."
        if getattr(obj, "loaded", False):
            raise TraitError(message)
        warnings.warn(f"{message} It is left out.", stacklevel=2)
        return self.empty

    def problem(self, value: object) -> str:
        """Say what is wrong with a value; nothing where it will do."""
        raise NotImplementedError


class Text(Setting):
    """A text."""

    def problem(self, value: object) -> str:
        """Say what is wrong with a value; nothing where it will do."""
        if not isinstance(value, str):
            return "write a text, in quotes"
        return self.problem_of_text(value)

    def problem_of_text(self, value: str) -> str:
        """Say what is wrong with a text."""
        return "" if value.isprintable() else "it has characters that cannot be shown"


class Namespace(Text):
    """The name of a namespace."""

    def problem_of_text(self, value: str) -> str:
        """Say what is wrong with a text."""
        if _NAMESPACE.fullmatch(value):
            return ""
        return "a namespace has lower-case letters, digits and '-' only"


class Image(Text):
    """The name of a container image."""

    def problem_of_text(self, value: str) -> str:
        """Say what is wrong with a text."""
        return "" if _IMAGE.fullmatch(value) else "write an image, such as 'alpine/socat:1.8.0.3'"


class Url(Text):
    """The URL of a server."""

    def problem_of_text(self, value: str) -> str:
        """Say what is wrong with a text."""
        try:
            parts = urlsplit(value)
            usable = parts.scheme in {"https", "http"} and bool(parts.hostname) and "@" not in parts.netloc
        except ValueError:
            usable = False
        return "" if usable else "write a URL, such as https://apiserver.example:6443"


class Switch(Setting):
    """Yes or no."""

    empty = False

    def problem(self, value: object) -> str:
        """Say what is wrong with a value; nothing where it will do."""
        return "" if isinstance(value, bool) else "write True or False"


class TimeZone(Text):
    """A time zone by its name."""

    def problem_of_text(self, value: str) -> str:
        """Say what is wrong with a text."""
        known = zoneinfo.available_timezones()
        if not known or value in known:
            return ""
        near = difflib.get_close_matches(value, known, n=1)
        return "write a time zone, such as " + (near[0] if near else "Europe/Paris")


class Fraction(Setting):
    """A part of a whole, as a number."""

    empty = 0.5

    def problem(self, value: object) -> str:
        """Say what is wrong with a value; nothing where it will do."""
        fits = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
        return "" if fits else "write a number above 0, such as 0.5 for a half"


class Level(Text):
    """From how important on the log is written."""

    def problem_of_text(self, value: str) -> str:
        """Say what is wrong with a text."""
        return "" if value in LEVELS else f"write one of {', '.join(LEVELS)}"


class SSPCloud(Configurable):
    """What ``%config SSPCloud`` shows and sets; empty means: find out."""

    kubeconfig = Text("", help="A kubeconfig file.").tag(config=True)
    context = Text("", help="A context of the kubeconfig.").tag(config=True)
    namespace = Namespace("", help="The namespace to work in.").tag(config=True)
    server = Url("", help="The API server's URL, where there is no kubeconfig.").tag(config=True)
    token_file = Text("", help="A file that holds a bearer token for `server`.").tag(config=True)
    ca_file = Text("", help="Certificates to trust for `server`, in PEM.").tag(config=True)
    insecure_skip_tls_verify = Switch(
        default_value=False, help="Do not verify the certificate of `server`."
    ).tag(config=True)
    credentials_without_tls = Switch(
        default_value=False,
        help="Send credentials also to a server whose address begins with http://, where the whole way is safe.",
    ).tag(config=True)

    relay_image = Image(
        "",
        help="The image of relays, whose entry point is socat, where the cluster does not get alpine/socat.",
    ).tag(config=True)
    search_path = Text("", help="The schemas of a database where names are looked for: survey, public.").tag(
        config=True
    )
    time_zone = TimeZone("", help="The time zone in which instants are shown: Europe/Paris.").tag(config=True)
    memory_share = Fraction(
        default_value=0.5, help="Warn of a result that may take more than this share of the free memory."
    ).tag(config=True)

    keep_queries = Switch(
        default_value=True, help="Keep the notebook's statements, which %queries lists, for its next kernels."
    ).tag(config=True)

    log = Level(
        "", help="Write what is done into a file, whose path %k8s_doctor says: debug, info or warning."
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        self.loaded = False
        super().__init__(**kwargs)
        self.loaded = True
        self.observe(lambda _change: self.apply(), list(self.trait_names(config=True)))
        self.apply()

    def apply(self) -> None:
        """Tell the session; nothing is looked for until it is used."""
        session.configure_log(self.log)
        QueryHistory.is_kept = self.keep_queries
        session.configure_relay(self.relay_image or None)
        session.configure(
            ClusterChoice(
                kubeconfig=self.kubeconfig or None,
                context=self.context or None,
                namespace=self.namespace or None,
                server=self.server or None,
                token_file=self.token_file or None,
                ca_file=self.ca_file or None,
                insecure_skip_tls_verify=self.insecure_skip_tls_verify,
                credentials_without_tls=self.credentials_without_tls,
            )
        )
        session.configure_queries(
            QueryDefaults(
                search_path=self.search_path or None,
                time_zone=self.time_zone or None,
                memory_share=self.memory_share,
            )
        )
