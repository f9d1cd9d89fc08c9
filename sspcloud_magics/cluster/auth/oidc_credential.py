"""The ID token of a kubeconfig user, renewed ahead of time and only once for all kernels.

The kubeconfig is the source of truth. A timer renews a token shortly before its expiry; an expired or refused token
is renewed while the caller waits. A renewal holds a lock file next to the kubeconfig, and first reads the kubeconfig: another
kernel, kubectl or a new login may have written a new token. A rotated refresh token is written back
before the new ID token is used, because the old one may be invalid by then. kubectl's own lock
is held only during that write: kubectl fails at once if it is taken.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import weakref
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from sspcloud_magics import fork_hooks
from sspcloud_magics.cluster.auth import jwt
from sspcloud_magics.cluster.config import kubeconfig_file
from sspcloud_magics.cluster.config.kubeconfig import Entry, load, read
from sspcloud_magics.cluster.config.kubeconfig_edit import KubeconfigEdit, assign
from sspcloud_magics.cluster.platform import copy_script_again
from sspcloud_magics.errors import KubeconfigInvalid, NotLoggedIn, SspcloudError, TokenExpired
from sspcloud_magics.i18n import _
from sspcloud_magics.i18n.system_reasons import system_reason
from sspcloud_magics.secret import Form, Secret, check_secret, without_frames

if TYPE_CHECKING:
    from sspcloud_magics.cluster.auth.oidc import Tokens

_log = logging.getLogger(__name__)

MARGIN = timedelta(seconds=60)
"""How long before its expiry a token is renewed; a fifth of its lifetime if that is less."""

# How long to wait for another process that renews the token, in seconds.
_LOCK_TIMEOUT = 60.0
# The pause after a renewal ahead of time that failed, in seconds.
_RETRY_PAUSE = 30.0


class OidcCredential:
    """The ID token of a user. Thread-safe.

    Parameters
    ----------
    user
        The user's entry, with ``auth-provider: oidc``.
    """

    def __init__(self, user: Entry) -> None:
        self.user = user
        self._settings = settings_of(user)
        # The current ID token; `_adopt` replaces it.
        self._token = _id_token(user, self._settings)
        # The expiry on the monotonic clock, if this process has renewed the token itself.
        self._good_until: float | None = None
        # The last refresh token that the provider refused, and the error: it is not sent again.
        self._refused: tuple[Secret, TokenExpired] | None = None
        # A spent refresh token, and the new tokens that could not be written to the kubeconfig.
        self._unsaved: tuple[Secret, Tokens] | None = None
        # Guards all of the above; `current` reads a fresh token without it.
        self._lock = threading.RLock()
        # The timer of the next renewal ahead of time; None until the token is first used, and after `close`.
        self._timer: threading.Timer | None = None
        fork_hooks.register(self)

    def reset_in_child(self) -> None:
        """Drop the lock and the timer of the parent, whose threads do not exist in the child."""
        self._lock = threading.RLock()
        self._timer = None

    def update(self, user: Entry) -> None:
        """Use the current entry of the kubeconfig."""
        with self._lock:
            self.user, self._settings = user, settings_of(user)
            found = _id_token(user, self._settings)
            if found != self._token:
                self._adopt(found, just_issued=False)

    def current(self) -> Secret:
        """Return a token that has not expired, renewing it if necessary.

        Raises
        ------
        TokenExpired
            If both the token and the login have expired.
        """
        # Without the lock: a valid token is returned at once while another thread renews it.
        token = self._token
        if self._is_fresh(token):
            if self._timer is None:
                with self._lock:
                    self._renew_ahead_of_time()
            return token
        with self._lock:
            return self._token if self._is_fresh(self._token) else self._renew(self._token)

    def renew(self, refused: Secret | None) -> Secret:
        """Return a token other than the refused one; raises as `current` does."""
        with self._lock:
            if refused is not None and self._token != refused and self._is_fresh(self._token):
                return self._token
            return self._renew(self._token)

    def ends(self) -> tuple[datetime | None, datetime | None]:
        """Return the expiry of the token and that of the login, if the tokens state them."""
        return jwt.expiry(self._token), jwt.expiry(_secret(self.user, self._settings, "refresh-token"))

    def close(self) -> None:
        """Stop renewing ahead of time, until the token is used again."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _is_fresh(self, token: Secret) -> bool:
        if self._good_until is not None and token == self._token:
            # This process renewed the token, so its monotonic clock counts: the machine's clock may be wrong.
            return time.monotonic() < self._good_until
        ends = jwt.expiry(token)
        return ends is None or ends > datetime.now(UTC)

    @without_frames
    def _renew(self, stale: Secret) -> Secret:
        file = self.user.file
        kubeconfig_file.check_writable(file)
        lock = FileLock(file.with_name(f".{file.name}.sspcloud-renewal"), timeout=_LOCK_TIMEOUT)
        try:
            with lock:
                return self._renew_alone(stale)
        except Timeout:
            raise TokenExpired(
                _("Another notebook has been renewing the token for a minute."), hint=_("run the cell again")
            ) from None
        except OSError as error:
            raise KubeconfigInvalid(
                _("The renewed token could not be saved in {file}.", file=file),
                why=system_reason(error),
            ) from None

    def _renew_alone(self, stale: Secret) -> Secret:
        self._read_again()
        found = _id_token(self.user, self._settings)
        if found != stale and self._is_fresh(found):
            self._adopt(found, just_issued=False)
            return found
        spent = _secret(self.user, self._settings, "refresh-token")
        if spent is None:
            raise TokenExpired(
                _("The token has expired, and the kubeconfig holds no refresh token."),
                why=jwt.expiry_in_words(stale),
                hint=copy_script_again(),
            )
        settings: dict[str, str | Secret] = {key: str(value) for key, value in self._settings.items()}
        if self._unsaved is not None and self._unsaved[0] == spent:
            settings["refresh-token"] = self._unsaved[1].refresh_token
        if self._refused is not None and self._refused[0] == settings["refresh-token"]:
            raise self._refused[1]
        from sspcloud_magics.cluster.auth import oidc  # noqa: PLC0415 - the HTTP library costs 100 ms

        try:
            tokens = oidc.refresh(settings, self.user.file.parent)
        except TokenExpired as error:
            self._refused = spent, error
            raise
        _log.info("the token of the user %s is renewed", self.user.name)
        self._unsaved = spent, tokens
        # If they cannot be written, this process uses them unsaved, and tries again at the next renewal.
        with contextlib.suppress(KubeconfigInvalid):
            self._write_back(spent, tokens)
            self._unsaved = None
        self._adopt(tokens.id_token, just_issued=True)
        return tokens.id_token

    def _read_again(self) -> None:
        found = load([self.user.file])
        entry = found.users.get(self.user.name) if found else None
        if entry is not None and entry.values.get("auth-provider"):
            self.user, self._settings = entry, settings_of(entry)

    def _write_back(self, spent: Secret, tokens: Tokens) -> None:
        file = self.user.file
        with kubeconfig_file.lock_files([file]):
            edit = KubeconfigEdit(read(file) or "", str(file))
            if not edit.has("users", self.user.name):
                return
            config = edit.ensure_mapping(
                edit.ensure_mapping(edit.entry("users", self.user.name), "auth-provider"), "config"
            )
            if edit.texts(config).get("refresh-token") != spent.reveal():
                return  # do not overwrite a new login
            fresh = {"id-token": tokens.id_token.reveal(), "refresh-token": tokens.refresh_token.reveal()}
            assign(config, fresh)
            kubeconfig_file.write(file, edit.text())
            self._settings = {**self._settings, **fresh}

    def _adopt(self, token: Secret, *, just_issued: bool) -> None:
        self._token = token
        lives = jwt.lifetime(token) if just_issued else None
        self._good_until = time.monotonic() + lives.total_seconds() if lives else None
        self._renew_ahead_of_time()

    def _renew_ahead_of_time(self, after: float | None = None) -> None:
        """Start the timer for the current token, unless its expiry is unknown."""
        self.close()
        if after is None:
            ends, lives = jwt.expiry(self._token), jwt.lifetime(self._token)
            if self._good_until is not None:
                left = self._good_until - time.monotonic()
            elif ends is not None:
                left = (ends - datetime.now(UTC)).total_seconds()
            else:
                return
            margin = min(MARGIN, lives / 5) if lives else MARGIN
            after = max(left - margin.total_seconds(), 1.0)
        # By a weak reference, so that the timer does not keep an unused credential alive.
        self._timer = threading.Timer(
            min(after, threading.TIMEOUT_MAX), _renew_now, args=(weakref.ref(self),)
        )
        self._timer.daemon = True
        self._timer.name = "sspcloud-oidc"
        self._timer.start()

    def renew_ahead(self) -> None:
        """Renew a token that is still valid; called in the timer's thread, and never raises."""
        with self._lock:
            if self._timer is not threading.current_thread():
                return  # replaced by another timer, or closed
            try:
                self._renew(self._token)
            except TokenExpired:
                return  # the next caller of `current` gets the error
            except (SspcloudError, OSError):
                self._renew_ahead_of_time(_RETRY_PAUSE)


def _renew_now(credential: weakref.ref[OidcCredential]) -> None:
    found = credential()
    if found is not None:
        found.renew_ahead()


def settings_of(user: Entry) -> Mapping[str, Any]:
    """Return the ``config`` of a user's auth provider.

    Raises
    ------
    KubeconfigInvalid
        If the provider is not OIDC.
    """
    provider = user.values.get("auth-provider")
    name = provider.get("name") if isinstance(provider, dict) else None
    if not isinstance(provider, dict) or name != "oidc":
        raise KubeconfigInvalid(
            _(
                "The user {name} in {file} logs in through auth-provider {provider!r}.",
                name=user.name,
                file=user.file,
                provider=name,
            ),
            why=_("Only oidc is supported; kubectl itself has dropped the others."),
            hint=_("create the kubeconfig again with a current version of the cloud's command"),
        )
    settings = provider.get("config") or {}
    return settings if isinstance(settings, dict) else {}


def _id_token(user: Entry, settings: Mapping[str, Any]) -> Secret:
    token = _secret(user, settings, "id-token")
    if token is None:
        raise NotLoggedIn(
            _("The user {name} in {file} has no id-token yet.", name=user.name, file=user.file),
            hint=copy_script_again(),
        )
    return token


def _secret(user: Entry, settings: Mapping[str, Any], key: str) -> Secret | None:
    def refusal(why: str) -> KubeconfigInvalid:
        what = _(
            "The {key} of the user {name} in {file} cannot be used.", key=key, name=user.name, file=user.file
        )
        return KubeconfigInvalid(what, why=why, hint=copy_script_again())

    value = settings.get(key)
    return check_secret(value, Form.TOKEN if key == "id-token" else Form.PHRASE, refusal) if value else None
