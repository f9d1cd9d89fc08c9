"""``tools/personal-init.sh`` in a notebook service: it installs once, in a persistent folder, and may run again."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = ROOT / "tools" / "personal-init.sh"
FIRST = "import sspcloud_magics; print(sspcloud_magics.__file__)"

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="SSPCloud's services run Linux"),
    pytest.mark.slow,
    pytest.mark.timeout(300),
]


@dataclass(frozen=True)
class Service:
    """A notebook service: only `work` lasts; `home` and `python` are new at each start."""

    work: Path
    home: Path
    python: Path

    def start(self, *what: str) -> subprocess.CompletedProcess[str]:
        """Run the script as the service's start does."""
        return subprocess.run(
            ["bash", str(SCRIPT), *what],
            cwd=self.home,
            env=self.env(),
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    def says(self, program: str) -> str:
        """Return what a program prints in the service's Python."""
        return subprocess.run(
            [self.python, "-c", program],
            cwd=self.home,
            env=self.env(),
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return kept | {
            "HOME": str(self.home),
            "WORK_DIR": str(self.work),
            "PYTHON": str(self.python),
            "IPYTHONDIR": str(self.home / ".ipython"),
            "PIP_NO_INDEX": "1",
            "PIP_NO_DEPS": "1",
        }


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A minimal wheel of the package for the script: the code of this checkout, and the side panel's folder."""
    path = tmp_path / "sspcloud_magics-0.1.0-py3-none-any.whl"
    info = "sspcloud_magics-0.1.0.dist-info"
    with ZipFile(path, "w") as archive:
        for file in (ROOT / "sspcloud_magics").glob("*.py"):
            archive.write(file, f"sspcloud_magics/{file.name}")
        data = "sspcloud_magics-0.1.0.data/data/share/jupyter/labextensions/sspcloud-magics"
        archive.writestr(f"{data}/package.json", "{}")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: sspcloud-magics\nVersion: 0.1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """A service whose Python has pip but not this package."""
    venv = tmp_path / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    # This environment's pip, and not its packages: what the image brings is not what the script brings.
    inside = Path(sysconfig.get_path("purelib", vars={"base": str(venv)}))
    (inside / "pip").symlink_to(Path(sysconfig.get_path("purelib")) / "pip")
    for name in ("work", "home"):
        (tmp_path / name).mkdir()
    return Service(tmp_path / "work", tmp_path / "home", venv / "bin" / "python")


def test_script_installs_once_and_loads_everywhere(service: Service, wheel: Path, tmp_path: Path) -> None:
    done = service.start(str(wheel))
    assert done.returncode == 0, done.stderr
    assert "is ready" in done.stdout
    assert service.says(FIRST).startswith(str(service.work))
    assert (service.home / ".local/share/jupyter/labextensions/sspcloud-magics/package.json").exists()
    startup = ".ipython/profile_default/startup/50-sspcloud-magics.ipy"
    assert (service.home / startup).read_text() == "%load_ext sspcloud_magics\n"

    # The second start, in a home that is new, asks pip for nothing: it could not give it.
    wheel.rename(wheel.parent / "away.whl")
    (installed,) = (service.work / ".sspcloud-magics").iterdir()
    before = installed.stat().st_ino
    (tmp_path / "new home").mkdir()
    restarted = Service(service.work, tmp_path / "new home", service.python)
    again = restarted.start(str(wheel))
    assert again.returncode == 0, again.stderr
    assert installed.stat().st_ino == before
    assert (restarted.home / startup).exists()

    # The language of the service.
    french = restarted.start("fr", str(wheel))
    assert french.returncode == 0, french.stderr
    lines = (restarted.home / startup).read_text().splitlines()
    assert lines[1:] == ['os.environ.setdefault("SSPCLOUD_LANGUAGE", "fr")', "%load_ext sspcloud_magics"]

    # An installation that fails leaves the old one, and no rest of its own.
    failed = restarted.start(str(wheel.parent / "missing-1-py3-none-any.whl"))
    assert failed.returncode != 0
    assert "is ready" not in failed.stdout
    assert list((service.work / ".sspcloud-magics").iterdir()) == [installed]
    assert restarted.says(FIRST).startswith(str(service.work))


def test_bash_can_read_it() -> None:
    subprocess.run(["bash", "-n", SCRIPT], check=True)
