"""A note after ``%unload_ext``: what stays open, and how to close it."""

from __future__ import annotations

from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display

from sspcloud_magics import session
from sspcloud_magics.i18n import _
from sspcloud_magics.magics.display import Note


def announce_open(shell: InteractiveShell) -> None:
    """Show what stays open at the end of the cell, unless ``%reload_ext`` loads the extension in the same cell."""

    def after_cell(_result: object) -> None:
        shell.events.unregister("post_run_cell", after_cell)
        is_loaded = "sspcloud_magics" in getattr(shell.extension_manager, "loaded", ())
        if not is_loaded and (note := _describe_open()) is not None:
            display(note)  # type: ignore[no-untyped-call]  # IPython's

    shell.events.register("post_run_cell", after_cell)


def _describe_open() -> Note | None:
    connections = session.open_connections()
    used = [each.forward for each in connections]
    routes = [
        " → ".join(route)
        for forward in session.open_forwards()
        if forward.is_live and forward not in used
        for route in forward.routes
    ]
    opened = [
        *(_("{path}, connected as {user}", path=each.database.path, user=each.user) for each in connections),
        *routes,
    ]
    if not opened:
        return None
    return Note(
        "\n".join([_("The magics are gone, and these stay open:"), *opened]),
        (
            _("import sspcloud_magics as ssp; ssp.close()   closes all of them"),
            _("%load_ext sspcloud_magics   brings the magics back"),
        ),
    )
