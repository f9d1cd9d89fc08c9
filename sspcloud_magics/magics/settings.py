"""``%config SSPCloud.…``: settings of the cluster, the identity, relays, queries and the log.

An invalid value is refused with a message, and the previous one stays. IPython nevertheless keeps refused values in its
configuration, and passes them again at the next ``%reload_ext``. They are then ignored with a warning, so that the
extension loads.
"""

from __future__ import annotations

import difflib
import re
import warnings
import zoneinfo
from collections.abc import Callable
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from traitlets import Any as AnyValue
from traitlets import TraitError
from traitlets.config import Configurable

from sspcloud_magics import i18n, platforms, session
from sspcloud_magics.i18n import N_, _, format_list
from sspcloud_magics.i18n.language import LANGUAGES
from sspcloud_magics.log_file import LEVELS
from sspcloud_magics.magics.query_history import QueryHistory
from sspcloud_magics.session import ClusterChoice, QueryDefaults
from sspcloud_magics.session.display_language import language as choose_language

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_PREFIX = re.compile(r"[a-z0-9][-a-z0-9]*-")
_IMAGE = re.compile(r"[a-z0-9][-a-zA-Z0-9._/:@]{0,499}")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        known = parts.scheme in {"https", "http"} and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False
    return known and text.isprintable()


_PLATFORM_FIELDS: dict[str, Callable[[str], object]] = {
    "url": _is_url,
    "users": _PREFIX.fullmatch,
    "groups": _PREFIX.fullmatch,
    "accounts": re.compile(r"[^:\s]*").fullmatch,
    "language": LANGUAGES.__contains__,
}

SettingValue: TypeAlias = str | bool | float | dict[str, str]


class Setting(AnyValue):
    """A setting that refuses invalid values, and ignores them while the extension loads."""

    # The value of a setting that is not set.
    empty: SettingValue = ""

    def validate(self, obj: Any, value: object) -> SettingValue:
        """Return the value; raise if it is invalid, or return the empty one while the extension loads."""
        if value is None or value == "":
            return self.empty
        problem = self.problem(value)
        if not problem and isinstance(value, str | bool | int | float | dict):
            return value
        # The message does not repeat the value, which may contain a password.
        message = _("The value of SSPCloud.{name} is invalid: {problem}.", name=self.name, problem=problem)
        if getattr(obj, "loaded", False):
            raise TraitError(message)
        warnings.warn(_("{message} It is ignored.", message=message), stacklevel=2)
        return self.empty

    def problem(self, value: object) -> str:
        """Return what the user should write instead of an invalid value; empty for a valid one."""
        raise NotImplementedError


class Text(Setting):
    """A string."""

    def problem(self, value: object) -> str:
        """Return the problem of a value."""
        if not isinstance(value, str):
            return _("write a string, in quotes")
        return self.problem_of_text(value)

    def problem_of_text(self, value: str) -> str:
        """Return the problem of a string."""
        return "" if value.isprintable() else _("write printable characters only")


class Namespace(Text):
    """The name of a namespace."""

    def problem_of_text(self, value: str) -> str:
        """Return the problem of a string."""
        if _NAMESPACE.fullmatch(value):
            return ""
        return _("write lower-case letters, digits and '-' only")


class Image(Text):
    """The name of a container image."""

    def problem_of_text(self, value: str) -> str:
        """Return the problem of a string."""
        return "" if _IMAGE.fullmatch(value) else _("write an image, such as 'alpine/socat:1.8.0.3'")


class Url(Text):
    """The URL of a server."""

    def problem_of_text(self, value: str) -> str:
        """Return the problem of a string."""
        return "" if _is_url(value) else _("write a URL, such as https://apiserver.example:6443")


class PlatformFields(Setting):
    """The URL of a platform, or a dict with some of its fields."""

    def problem(self, value: object) -> str:
        """Return the problem of a value."""
        given = {"url": value} if isinstance(value, str) else value
        if isinstance(given, dict) and all(
            name in _PLATFORM_FIELDS and isinstance(text, str) and _PLATFORM_FIELDS[name](text)
            for name, text in given.items()
        ):
            return ""
        return _(
            "write the address of its pages, or a dict of {fields}",
            fields=format_list(list(_PLATFORM_FIELDS)),
        )


class Switch(Setting):
    """True or False."""

    empty = False

    def problem(self, value: object) -> str:
        """Return the problem of a value."""
        return "" if isinstance(value, bool) else _("write True or False")


class TimeZone(Text):
    """The name of a time zone."""

    def problem_of_text(self, value: str) -> str:
        """Return the problem of a string."""
        known = zoneinfo.available_timezones()
        if not known or value in known:
            return ""
        near = difflib.get_close_matches(value, known, n=1)
        return _("write a time zone, such as {zone}", zone=near[0] if near else "Europe/Paris")


class Fraction(Setting):
    """A fraction as a positive number."""

    empty = 0.5

    def problem(self, value: object) -> str:
        """Return the problem of a value."""
        fits = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
        return "" if fits else _("write a number above 0, such as 0.5 for a half")


class Level(Text):
    """A level of the log."""

    def problem_of_text(self, value: str) -> str:
        """Return the problem of a string."""
        return "" if value in LEVELS else _("write one of {levels}", levels=", ".join(LEVELS))


class Language(Text):
    """A language of the messages."""

    def problem_of_text(self, value: str) -> str:
        """Return the problem of a string."""
        return "" if value in LANGUAGES else _("write one of {languages}", languages=", ".join(LANGUAGES))


class SSPCloud(Configurable):
    """The settings of ``%config SSPCloud``; empty ones are left to the defaults."""

    kubeconfig = Text("", help=N_("A kubeconfig file.")).tag(config=True)
    context = Text("", help=N_("A context of the kubeconfig.")).tag(config=True)
    namespace = Namespace("", help=N_("The namespace to work in.")).tag(config=True)
    server = Url("", help=N_("The API server's URL, instead of a kubeconfig.")).tag(config=True)
    token_file = Text("", help=N_("A file with a bearer token for `server`.")).tag(config=True)
    ca_file = Text("", help=N_("Trusted certificates for `server`, in PEM.")).tag(config=True)
    insecure_skip_tls_verify = Switch(
        default_value=False, help=N_("Do not verify the certificate of `server`.")
    ).tag(config=True)
    credentials_without_tls = Switch(
        default_value=False,
        help=N_(
            "Send credentials also to an http:// address: only if the whole network in between is trusted."
        ),
    ).tag(config=True)

    platform = PlatformFields(
        "",
        help=N_(
            "The datalab, if it is not SSPCloud: the address of its pages, or a dict of url, users, groups, accounts (the "
            "prefixes of namespaces and of accounts) and language."
        ),
    ).tag(config=True)

    language = Language(
        "", help=N_("The language of messages and of the panel, en or fr, instead of JupyterLab's.")
    ).tag(config=True)

    relay_image = Image(
        "",
        help=N_("The image of relays, whose entry point is socat, if the cluster cannot pull alpine/socat."),
    ).tag(config=True)
    search_path = Text("", help=N_("The search_path of sessions with databases: survey, public.")).tag(
        config=True
    )
    time_zone = TimeZone("", help=N_("The time zone of timestamps: Europe/Paris.")).tag(config=True)
    memory_share = Fraction(
        default_value=0.5, help=N_("Warn of results that may take more than this share of the free memory.")
    ).tag(config=True)

    keep_queries = Switch(
        default_value=True,
        help=N_("Save the notebook's statements, which %queries lists, for its next kernels."),
    ).tag(config=True)

    log = Level(
        "", help=N_("Write a log from this level on: debug, info or warning; %k8s_doctor shows its path.")
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        # Whether invalid values are refused; while the extension loads, they are ignored.
        self.loaded = False
        super().__init__(**kwargs)
        self.loaded = True
        self.observe(lambda _change: self.apply(), list(self.trait_names(config=True)))
        # Only its own change applies the language: `ssp.language` may have chosen another one since.
        self.observe(lambda change: choose_language(change["new"]), "language")
        if self.language:
            choose_language(self.language)
        self.apply()

    def apply(self) -> None:
        """Pass the settings to the session, which uses them at its next call."""
        given = {"url": self.platform} if isinstance(self.platform, str) else self.platform
        given = {name: text for name, text in given.items() if text}
        platforms.configure(given)
        # A platform of which only the address is known speaks English.
        speaks_english = "url" in given and not platforms.current().language
        i18n.choose(i18n.Source.PLATFORM, given.get("language") or ("en" if speaks_english else ""))
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
