"""The operating system's reasons for a failure, in the reader's language."""

from __future__ import annotations

import errno
import os

from sspcloud_magics.i18n.messages import N_, _

# The C library's texts, which Python leaves in English, for the failures that a user meets.
_SYSTEM_REASONS = {
    errno.EACCES: N_("Permission denied."),
    errno.EADDRINUSE: N_("Address already in use."),
    errno.EADDRNOTAVAIL: N_("Cannot assign requested address."),
    errno.ECONNREFUSED: N_("Connection refused."),
    errno.ECONNRESET: N_("Connection reset by peer."),
    errno.EEXIST: N_("File exists."),
    errno.EHOSTUNREACH: N_("No route to host."),
    errno.EISDIR: N_("Is a directory."),
    errno.EMFILE: N_("Too many open files."),
    errno.ENAMETOOLONG: N_("File name too long."),
    errno.ENETUNREACH: N_("Network is unreachable."),
    errno.ENOENT: N_("No such file or directory."),
    errno.ENOSPC: N_("No space left on device."),
    errno.ENOTDIR: N_("Not a directory."),
    errno.EPERM: N_("Operation not permitted."),
    errno.EPIPE: N_("Broken pipe."),
    errno.EROFS: N_("Read-only file system."),
    errno.ETIMEDOUT: N_("Connection timed out."),
}


def system_reason(error: OSError) -> str:
    """Return the operating system's reason for a failure, as a sentence.

    Examples
    --------
    >>> system_reason(FileNotFoundError(errno.ENOENT, "No such file or directory"))
    'No such file or directory.'
    """
    message = _SYSTEM_REASONS.get(error.errno or 0)
    # The numbers of OpenSSL's errors are not those of the system, and asyncio has a text of its own.
    is_of_system = error.strerror == os.strerror(error.errno or 0) or isinstance(error, ConnectionError)
    if message is not None and is_of_system:
        return _(message)
    return _("{reason}.", reason=error.strerror or error)
