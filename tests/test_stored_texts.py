"""Stored and typed texts stay the same, whatever the code calls them.

Notebooks, configuration files, shares in clusters and databases, and the panel of a page that is still open hold these texts.
`stored_texts.txt` is the list: a line goes only with a way for those who have it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sspcloud_magics import share_keys
from sspcloud_magics.errors import SspcloudError
from sspcloud_magics.forwards import saved_forwards
from sspcloud_magics.magics import _CLASSES
from sspcloud_magics.magics.settings import SSPCloud
from sspcloud_magics.session import recent_namespaces
from sspcloud_magics.sharing import handover, role_sql
from sspcloud_magics.user_files import state_folder
from sspcloud_magics.widgets.commands import COMMANDS

LIST = Path(__file__).with_name("stored_texts.txt")


def lines_of_magics() -> Iterator[str]:
    for kind in _CLASSES:
        for names in kind.magics.values():
            for name, attribute in names.items():
                parser = getattr(kind, attribute).parser
                options = {option for action in parser._actions for option in action.option_strings}
                yield from (f"magic {name} {option}".rstrip() for option in {"", *options})


def codes(error: type[SspcloudError]) -> Iterator[str]:
    if error.__module__ == SspcloudError.__module__:
        yield f"error {error.__name__}"
    for child in error.__subclasses__():
        yield from codes(child)


def lines() -> set[str]:
    """Return all stored and typed texts of today, each with its kind."""
    home = state_folder().parent
    keys = {value for name, value in vars(share_keys).items() if name.isupper() and isinstance(value, str)}
    return {
        *lines_of_magics(),
        *codes(SspcloudError),
        *(f"error key {key}" for key in SspcloudError("what").to_wire()),
        *(f"setting {name}" for name in SSPCloud.class_trait_names(config=True)),
        *(f"share {key}" for key in keys),
        f"share name {share_keys.share_name('db', 'bob')} {share_keys.role_name('bob')}",
        *(f"comment {comment}" for comment in (role_sql.COMMENT, handover.ARCHIVE_COMMENT)),
        *(
            f"state {path.relative_to(home)}"
            for path in (saved_forwards.state_folder(), recent_namespaces.file())
        ),
        *(f"panel {command}" for command in COMMANDS),
    }


def test_stored_and_typed_texts_are_as_listed():
    assert sorted(lines()) == LIST.read_text("utf-8").splitlines()
