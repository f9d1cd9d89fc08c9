"""Build the sdist and the wheel, check them, and test the wheel in empty environments.

    python tools/package.py [--python PATH …]

It needs twine and check-wheel-contents, which `make package` installs. The environments use this Python and the newest
other one on this machine; the output names them. Finally it installs from the repository without node.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import wheel as wheels

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
NEWEST = ("python3.14", "python3.13", "python3.12")
LIMIT = 2 * 2**20
"""The maximum size of the wheel in bytes; with node_modules by mistake, it would be a hundred times larger."""

USE = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "sspcloud_magics")
assert shell.find_line_magic("forward")
if "sandbox" in sys.argv:
    print(shell.run_line_magic("sandbox", "start"))
    try:
        shell.run_line_magic("connect_db", "user-alice/postgresql-cnpg-951239")
        frame = shell.run_line_magic("query_db", "SELECT count(*) AS people FROM individus")
        assert frame["people"][0] > 100_000
        print("a colleague's table arrived:", int(frame["people"][0]), "rows counted")
    finally:
        shell.run_line_magic("sandbox", "stop")
"""


def run(*command: str | Path, **options: object) -> str:
    """Run a command that must succeed, and return its output."""
    done = subprocess.run(
        [str(part) for part in command], check=False, stdout=subprocess.PIPE, text=True, **options
    )  # type: ignore[call-overload]
    if done.returncode:
        print(done.stdout)
        sys.exit(f"failed: {' '.join(map(str, command[:6]))} …")
    return str(done.stdout)


def pythons() -> list[str]:
    """Return this Python, and the newest other one on this machine."""
    found = [sys.executable]
    places = [shutil.which(name) for name in NEWEST]
    places += sorted(map(str, Path.home().glob(".pyenv/versions/3.1*/bin/python")), reverse=True)
    places += (
        sorted(map(str, Path("/root/.pyenv/versions").glob("3.13*/bin/python")))
        if os.access("/root", os.R_OK)
        else []
    )
    for place in filter(None, places):
        said = subprocess.run(
            [place, "-c", "import sys; print(sys.version_info[:2])"],
            check=False,
            capture_output=True,
            text=True,
        )
        if said.returncode == 0 and said.stdout.strip() not in (str(sys.version_info[:2]), "(3, 10)"):
            return [*found, place]
    return found


def build() -> tuple[Path, Path]:
    """Build both files, and check them."""
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    sdist, wheel = wheels.build(DIST)
    run(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel)
    # W002: a bundle contains the same file twice; W009: the extension's files are next to the package.
    run(Path(sys.executable).parent / "check-wheel-contents", "--ignore", "W002,W009", wheel)
    if wheel.stat().st_size > LIMIT:
        sys.exit(f"{wheel.name} is larger than {LIMIT:,} bytes: check its contents")
    return sdist, wheel


def try_out(python: str, wheel: Path) -> None:
    """Install the wheel into an empty environment of a Python, without and with the sandbox, and use it."""
    with tempfile.TemporaryDirectory() as folder:
        venv = Path(folder) / "venv"
        run(python, "-m", "venv", venv)
        inside = venv / ("Scripts" if os.name == "nt" else "bin")
        install = (inside / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        environment = {
            **os.environ,
            "SSPCLOUD_SANDBOX_HOME": f"{folder}/sandbox",
            "IPYTHONDIR": f"{folder}/ipython",
        }
        run(*install, wheel)
        run(inside / "python", "-I", "-c", USE, env=environment, cwd=folder)
        alone = _size(venv)
        run(*install, f"{wheel}[sandbox,lab]")
        wheels.check_listed(inside, environment)
        used = run(inside / "python", "-I", "-c", USE, "sandbox", env=environment, cwd=folder)
        version = run(inside / "python", "-c", "import platform; print(platform.python_version())").strip()
        print(
            f"Python {version}: loads alone ({alone:,.0f} MB installed), labextension enabled, [sandbox] works: "
            f"{used.strip().splitlines()[-1]}; {_size(venv):,.0f} MB with sandbox and lab"
        )


def install_from_repository(python: str) -> None:
    """Install from the repository without node, as README says: the build installs one for itself."""
    with tempfile.TemporaryDirectory() as folder:
        clone, venv, programs = (Path(folder) / name for name in ("clone", "venv", "programs"))
        run("git", "clone", "--quiet", ROOT, clone)
        run(python, "-m", "venv", venv)
        programs.mkdir()
        for name in ("git", "sh", "env", "uname"):
            (programs / name).symlink_to(shutil.which(name) or name)
        inside = venv / ("Scripts" if os.name == "nt" else "bin")
        install = (inside / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        run(*install, clone, env={**os.environ, "PATH": str(programs)})
        panel = venv / "share" / "jupyter" / "labextensions" / "sspcloud-magics" / "package.json"
        if not panel.exists():
            sys.exit("The side panel is missing after an installation from the repository.")
        print("pip install from the repository, without node on the PATH: the side panel is installed")


def _size(folder: Path) -> float:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main() -> None:
    """Build, check and test the package."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--python", action="append", help="an interpreter to test with; can be repeated")
    given = parser.parse_args()
    _sdist, wheel = build()
    chosen = given.python or pythons()
    for python in chosen:
        try_out(python, wheel)
    install_from_repository(sys.executable)
    if len(chosen) == 1:
        print("No second Python was found: it was tested with one only.")


if __name__ == "__main__":
    main()
