"""Links from an error message to the documentation of that error.

The documentation has a page of all errors in each language, with the name of each error as its anchor. If the package's metadata name the site
(``Documentation`` in ``[project.urls]``), the link leads there. If pip installed the package from a repository, as the README
says, pip recorded the commit: the link leads to the error class in the source at that commit, from which the page is made.
Neither needs the network. If both are unknown there is no link: search the documentation for the name of the error.
"""

from __future__ import annotations

import inspect
import json
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from sspcloud_magics.i18n import current

PACKAGE = "sspcloud-magics"
PAGE = "generated/errors.html"
SOURCE = "sspcloud_magics/errors.py"


def address_of(kind: type[Exception]) -> str:
    """Return the link to the documentation of an error class; "" if none is known."""
    # The page has the classes of `sspcloud_magics.errors`; others are kinds of one of them.
    kind = next((each for each in kind.__mro__ if each.__module__ == f"{__package__}.errors"), kind)
    try:
        package = distribution(PACKAGE)
    except PackageNotFoundError:
        return ""
    site = _site(package)
    if site:
        # The French pages have the same paths, below fr.
        folder = "" if current() == "en" else f"/{current()}"
        return f"{site}{folder}/{PAGE}#{kind.__name__.lower()}"
    commit = _commit(package)
    try:
        return f"{commit}/{SOURCE}#L{inspect.getsourcelines(kind)[1]}" if commit else ""
    except OSError:  # a package without its sources
        return ""


def _site(package: Distribution) -> str:
    """Return the address of the documentation; "" if the metadata have none."""
    for line in package.metadata.get_all("Project-URL") or ():
        label, _, url = str(line).partition(",")
        if label.strip().lower() == "documentation":
            return url.strip().rstrip("/")
    return ""


def _commit(package: Distribution) -> str:
    """Return the web address of the commit that pip installed (PEP 610, "direct_url.json")."""
    try:
        origin = json.loads(package.read_text("direct_url.json") or "{}")
        url, commit = str(origin["url"]), str(origin["vcs_info"]["commit_id"])
    except (ValueError, KeyError, TypeError):
        return ""
    # The path of GitHub and GitLab. pip has removed user and password from the URL.
    return f"{url.removesuffix('.git')}/blob/{commit}" if url.startswith("https://") else ""
