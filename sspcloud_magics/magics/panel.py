"""``%sspcloud``: the panel in a cell's output."""

from __future__ import annotations

from typing import Any

from IPython.core.magic import Magics, line_magic, magics_class

from sspcloud_magics import widgets
from sspcloud_magics.i18n import N_
from sspcloud_magics.magics.arguments import argument, arguments, magic_arguments


@magics_class
class PanelMagics(Magics):
    """The magic for the panel."""

    @magic_arguments()
    @argument(
        "--language", choices=["en", "fr"], help=N_("its language, instead of the kernel's or the browser's")
    )
    @line_magic
    def sspcloud(self, line: str) -> Any:
        """Show the panel: who you are, pods, forwards, databases, shares and the sandbox, live and with buttons.

        It works while a long cell runs. Cells and the panel share their forwards and connections.

        Examples::

            %sspcloud
            %sspcloud --language fr

        The same in Python: ``ssp.panel()``.
        """
        given = arguments(self, "sspcloud", line)
        return widgets.panel(language=given.language)
