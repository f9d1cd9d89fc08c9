"""Where an error is explained: the address that its message ends with.

The site has a page of all errors, with the name of each as its anchor. Where the package's metadata say where the site is
published (``Documentation`` among ``[project.urls]``), the address leads there. Where pip installed the package from a repository, as
README says, it wrote down which one: the address leads to the error's entry in the source of that very commit, of which the
page is made. Nothing is asked of the network, and where neither is known there is no address: the name of the error finds it in
any copy of the documentation.
"""

from __future__ import annotations

import inspect
import json
from importlib.metadata import Distribution, PackageNotFoundError, distribution

PACKAGE = "sspcloud-magics"
PAGE = "generated/errors.html"
SOURCE = "sspcloud_magics/errors.py"


def address_of(kind: type[Exception]) -> str:
    """Return the address at which a class of errors is explained, "" where none is known."""
    try:
        package = distribution(PACKAGE)
    except PackageNotFoundError:
        return ""
    site = _site(package)
    if site:
        return f"{site}/{PAGE}#{kind.__name__.lower()}"
    commit = _commit(package)
    try:
        return f"{commit}/{SOURCE}#L{inspect.getsourcelines(kind)[1]}" if commit else ""
    except OSError:  # a package without its sources
        return ""


def _site(package: Distribution) -> str:
    """Return where the documentation's site is published."""
    for line in package.metadata.get_all("Project-URL") or ():
        label, _, url = str(line).partition(",")
        if label.strip().lower() == "documentation":
            return url.strip().rstrip("/")
    return ""


def _commit(package: Distribution) -> str:
    """Return where a browser shows the commit that pip installed (PEP 610, "direct_url.json")."""
    try:
        origin = json.loads(package.read_text("direct_url.json") or "{}")
        url, commit = str(origin["url"]), str(origin["vcs_info"]["commit_id"])
    except (ValueError, KeyError, TypeError):
        return ""
    # GitHub's and GitLab's way; pip writes no user and no password of the address.
    return f"{url.removesuffix('.git')}/blob/{commit}" if url.startswith("https://") else ""
