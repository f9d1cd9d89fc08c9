"""The IPython magics: parse a line, call the Python API, show the result.

`load` registers them with a shell, together with their completion, the input transformers of cells, and ``%config
SSPCloud``; `unload` removes all of them. Neither uses the network. Open forwards and connections belong to
`sspcloud_magics.session`, so ``%reload_ext`` loses none.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from IPython.core.magic import Magics

from sspcloud_magics import i18n
from sspcloud_magics.magics.cell_input import Transformer, transformers
from sspcloud_magics.magics.completion import KnownNames, matcher
from sspcloud_magics.magics.doctor import DoctorMagics
from sspcloud_magics.magics.forwarding import ForwardingMagics
from sspcloud_magics.magics.help import translate_help
from sspcloud_magics.magics.listing import ListingMagics
from sspcloud_magics.magics.login import LoginMagics, Reminder
from sspcloud_magics.magics.object_completion import object_sources
from sspcloud_magics.magics.objects import ObjectMagics
from sspcloud_magics.magics.panel import PanelMagics
from sspcloud_magics.magics.querying import QueryingMagics
from sspcloud_magics.magics.sandbox import SandboxMagics
from sspcloud_magics.magics.settings import SSPCloud
from sspcloud_magics.magics.sharing import SharingMagics
from sspcloud_magics.magics.sql_completion import KnownTables, sources, sql_matcher
from sspcloud_magics.magics.tables import TableMagics
from sspcloud_magics.magics.unloading import announce_open
from sspcloud_magics.widgets import side_panel

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_CLASSES: tuple[type[Magics], ...] = (
    LoginMagics,
    DoctorMagics,
    ListingMagics,
    ObjectMagics,
    ForwardingMagics,
    QueryingMagics,
    TableMagics,
    SharingMagics,
    SandboxMagics,
    PanelMagics,
)


@dataclass(frozen=True, slots=True)
class _Loaded:
    """Everything that `load` has registered with a shell, for `unload`."""

    settings: SSPCloud
    magics: tuple[Magics, ...]
    known: KnownNames
    tables: KnownTables
    matchers: tuple[Any, ...]
    transformers: tuple[Transformer, ...]
    # Called after each cell.
    callbacks: tuple[Callable[..., None], ...]
    # Ends the translation of the help after a change of the language.
    forget_language: Callable[[], None]


_ATTRIBUTE = "_sspcloud_magics"
"""The attribute of the shell that has its `_Loaded`."""


def load(shell: InteractiveShell) -> None:
    """Register the magics, their completion and their settings with a shell."""
    if hasattr(shell, _ATTRIBUTE):
        unload(shell)
    settings = SSPCloud(parent=shell)
    cast("list[Any]", shell.configurables).append(settings)
    magics = tuple(kind(shell) for kind in _CLASSES)
    shell.register_magics(*magics)
    known = KnownNames()
    tables = KnownTables()
    history = next(each.history for each in magics if isinstance(each, QueryingMagics))
    matchers = (
        matcher(
            known,
            _map_argument_lines(magics),
            {**sources(tables, shell, history), **object_sources(known)},
        ),
        sql_matcher(tables, shell, history),
    )
    shell.Completer.custom_matchers += matchers
    rewriting = transformers([name for each in magics for name in each.magics["cell"]])
    shell.input_transformers_cleanup.extend(rewriting)
    callbacks = (known.after_cell, tables.after_cell, Reminder().after_cell, side_panel.after_cell)
    for each in callbacks:
        shell.events.register("post_run_cell", each)
    side_panel.listen()
    if i18n.current() != "en":
        _translate_help()
    forget_language = i18n.on_change(_translate_help)
    loaded = _Loaded(settings, magics, known, tables, matchers, rewriting, callbacks, forget_language)
    setattr(shell, _ATTRIBUTE, loaded)


def _translate_help(_language: str = "") -> None:
    translate_help(_CLASSES, SSPCloud)


def _map_argument_lines(magics: Iterable[Magics]) -> dict[str, Any]:
    """Map ``%name`` and ``%%name`` to their functions, without a line that is SQL."""
    found: dict[str, Any] = {}
    for each in magics:
        found |= {f"%%{name}": function for name, function in each.magics["cell"].items()}
        found |= {
            f"%{name}": function for name, function in each.magics["line"].items() if name != "query_db"
        }
    return found


def unload(shell: InteractiveShell) -> None:
    """Remove everything that `load` registered."""
    loaded: _Loaded | None = getattr(shell, _ATTRIBUTE, None)
    if loaded is None:
        return
    delattr(shell, _ATTRIBUTE)
    loaded.forget_language()
    registered = shell.magics_manager.magics
    for each in loaded.magics:
        for kind, functions in each.magics.items():
            for name, function in functions.items():
                if registered[kind].get(name) == function:
                    del registered[kind][name]
    ours = {id(loaded.settings), *map(id, loaded.magics)}
    shell.configurables[:] = [each for each in shell.configurables if id(each) not in ours]
    for callback in loaded.callbacks:
        shell.events.unregister("post_run_cell", callback)
    side_panel.stop_listening()
    if display := sys.modules.get(f"{__name__}.dataframe_display"):  # imported by the first query
        display.unregister(shell)
    shell.Completer.custom_matchers[:] = [
        each for each in shell.Completer.custom_matchers if each not in loaded.matchers
    ]
    announce_open(shell)
    cleanup = shell.input_transformers_cleanup
    cleanup[:] = [each for each in cleanup if each not in loaded.transformers]
