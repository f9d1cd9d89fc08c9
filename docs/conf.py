"""The documentation's site: `make docs` builds it into build/site.

Each build writes the reference, which is read from the code, and the tutorials into ``docs/generated``.
"""

from __future__ import annotations

import gc
import shutil
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from sspcloud_magics import __version__  # noqa: E402
from tools import reference  # noqa: E402
from tools.notebook_lexer import NotebookLexer  # noqa: E402

# The documents stay in memory until the end: looking through them again takes a fifth of the time.
gc.set_threshold(50_000, 20, 100)

project = "sspcloud_magics"
author = "The sspcloud_magics contributors"
copyright = author  # noqa: A001 - Sphinx asks for that name
release = version = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 4
# The tutorials are committed with their outputs; `make notebooks` runs them.
nb_execution_mode = "off"
# Our messages contain arrows, which the lexer of IPython's tracebacks does not know.
suppress_warnings = ["misc.highlighting_failure"]
autodoc_typehints = "description"
autodoc_member_order = "bysource"
default_role = "code"
nitpicky = False

# The pages of `tools/docs_translation.py` are translated; `make docs` builds the site a second time for French.
locale_dirs = ["locale"]
gettext_compact = False
gettext_location = False

html_theme = "pydata_sphinx_theme"
html_title = "sspcloud_magics"
html_show_sourcelink = False
html_static_path = ["_static"]
templates_path = ["_templates"]
html_css_files = ["site.css"]
html_theme_options: dict[str, Any] = {
    "show_nav_level": 1,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "navbar_end": ["language-switch", "theme-switcher", "navbar-icon-links"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}


def write_generated(_app: object) -> None:
    """Write the reference and copy the tutorials; unchanged files stay, so that a second build is quick."""
    generated = HERE / "generated"
    reference.write(generated)
    for language in ("en", "fr"):
        folder = generated / language
        folder.mkdir(exist_ok=True)
        for notebook in (ROOT / "notebooks" / language).glob("*.ipynb"):
            target = folder / notebook.name
            if not target.exists() or target.read_bytes() != notebook.read_bytes():
                shutil.copy2(notebook, target)


def setup(app: Any) -> None:
    """Register the generated files and the lexer with Sphinx."""
    app.connect("builder-inited", write_generated)
    # Blocks of the pages, cells of the tutorials.
    for language in ("python", "ipython3"):
        app.add_lexer(language, NotebookLexer)
