"""A bearer token in a file that another program keeps fresh; it is read again when the file changes.

Kubernetes rotates a mounted token about once an hour, by replacing the directory behind a symlink. `stat`
follows the link and is cheap enough for every call.
"""

from __future__ import annotations

from pathlib import Path

from sspcloud_magics.errors import NotLoggedIn
from sspcloud_magics.i18n import _, format_bytes
from sspcloud_magics.i18n.system_reasons import system_reason
from sspcloud_magics.secret import Form, Secret, check_secret, without_frames
from sspcloud_magics.user_files import decode

LIMIT = 1 << 20
"""In bytes; a longer file is not a token."""


class TokenFile:
    """A token in a file.

    Parameters
    ----------
    path
        The file; it holds only the token, with optional white space around it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # Inode, size and modification time of the file when the token was read.
        self._stamp: tuple[int, int, int] | None = None
        self._token: Secret | None = None

    @without_frames
    def read(self) -> Secret:
        """Return the current token of the file.

        Raises
        ------
        NotLoggedIn
            If the file cannot be read, or holds no token.
        """
        try:
            found = self.path.stat()
            stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
            if self._token is None or stamp != self._stamp:
                if found.st_size > LIMIT:
                    raise NotLoggedIn(
                        _("{path} is not a token.", path=self.path),
                        why=_("It has {size}.", size=format_bytes(found.st_size)),
                    )
                self._token = _token(decode(self.path.read_bytes()), self.path)
                self._stamp = stamp
        except OSError as error:
            raise NotLoggedIn(
                _("The token file {path} cannot be read.", path=self.path),
                why=system_reason(error),
                hint=_("check the path and the permissions of the file"),
            ) from None
        except UnicodeDecodeError:
            raise NotLoggedIn(_("{path} is not a token.", path=self.path), why=_("It is not text.")) from None
        return self._token


def _token(text: str, path: Path) -> Secret:
    token = text.strip()
    if not token:
        raise NotLoggedIn(
            _("The token file {path} is empty.", path=path), hint=_("write a token into it, or log in again")
        )
    return check_secret(
        token, Form.TOKEN, lambda why: NotLoggedIn(_("{path} is not a token.", path=path), why=why)
    )
