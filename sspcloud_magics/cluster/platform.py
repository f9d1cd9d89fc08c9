"""Sentences about the platform's pages, with their addresses where these are known."""

from __future__ import annotations

from sspcloud_magics import platforms
from sspcloud_magics.i18n import _


def copy_script() -> str:
    """Return the hint to copy the login script."""
    page = platforms.current().account_page
    if page:
        return _("copy the login script from your account page (Connection to Kubernetes): {page}", page=page)
    return _("copy the login script from your account page (Connection to Kubernetes)")


def copy_script_again() -> str:
    """Return the hint to copy the login script again, and to log in with it."""
    page = platforms.current().account_page
    then = _("run %k8s_login config.sh; open forwards and connections stay open, and recover automatically")
    if page:
        copy = _("copy the script again from your account page (Connection to Kubernetes): {page}", page=page)
    else:
        copy = _("copy the script again from your account page (Connection to Kubernetes)")
    return f"{copy}\n{then}"


def services_page() -> str:
    """Return the address of the page with your services, or its name."""
    return platforms.current().services_page or _("the page My services of the datalab")


def launcher(role: str) -> str:
    """Return the address that launches a notebook service with a role, or the setting to change there."""
    return platforms.current().launcher(role) or _("Kubernetes, role {role}", role=role)
