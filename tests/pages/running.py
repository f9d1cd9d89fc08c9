"""Run the blocks of a page in one IPython, as a reader would type them, and stop at the first that fails.

    python running.py < BLOCKS.json

A program of its own, with the environment that the test gives it: a cell is shown, then what it answers.
"""

from __future__ import annotations

import json
import subprocess
import sys

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config


def main() -> None:
    """Run the blocks from the standard input."""
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    config.InteractiveShell.ast_node_interactivity = (
        "all"  # what each line answers is seen, as in cells of their own
    )
    shell = InteractiveShell.instance(config=config)
    for language, text in json.load(sys.stdin):
        print(f">>> {text}", flush=True)
        if language == "bash":
            subprocess.run(["bash", "-euo", "pipefail", "-c", text], check=True, stdin=subprocess.DEVNULL)
        else:
            shell.run_cell(text).raise_error()
    # As in a kernel that ends: what is open is closed at exit.


if __name__ == "__main__":
    main()
