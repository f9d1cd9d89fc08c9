"""The programs of a cluster: Debian's packages, and Kubernetes built from Debian's source package.

These sources are of a single release of Kubernetes. The tunnel protocols of newer API servers are in libraries of
Debian's unstable suite, which are built separately from this machine's packages.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tools.debian import mirror, private_apt, release

PACKAGES = (
    "containerd",
    "containernetworking-plugins",
    "debootstrap",
    "dpkg-dev",
    "etcd-server",
    "golang-go",
    "iptables",
    "rsync",
    "runc",
    "socat",
)
KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")
_LIBRARIES = (
    "golang-go",
    "golang-k8s-apimachinery-dev",
    "golang-k8s-apiserver-dev",
    "golang-k8s-client-go-dev",
    "golang-k8s-streaming-dev",
)
_HERE = Path(__file__).resolve().parent


def _run(*command: str | Path, **options: object) -> None:
    subprocess.run([str(each) for each in command], check=True, stdin=subprocess.DEVNULL, **options)  # type: ignore[call-overload]


def install() -> None:
    """Install the missing Debian packages."""
    query = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Status}\n"], capture_output=True, text=True, check=True
    )
    there = {line.split()[0] for line in query.stdout.splitlines() if line.endswith(" installed")}
    missing = [package for package in PACKAGES if package not in there]
    if missing:
        quiet = {"stdout": sys.stderr, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
        _run("apt-get", "-qq", "update", **quiet)
        _run("apt-get", "-qq", "install", "--yes", "--no-install-recommends", *missing, **quiet)


def files_of(program: str) -> dict[str, Path]:
    """Return the files that an installed program needs, by their paths in an image."""
    path = str(shutil.which(program))
    needed = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
    return {each.lstrip("/"): Path(each).resolve() for each in [path, *re.findall(r"/\S+", needed)]}


def build_kubernetes(folder: Path) -> Path:
    """Build the four programs from the source package, unless they exist; return their folder."""
    built = folder / "bin"
    if all((built / name).exists() for name in KUBERNETES):
        return built
    source = folder / "kubernetes"
    shutil.rmtree(source, ignore_errors=True)
    _unpack_source(folder, source)
    (source / ".go/src/k8s.io").mkdir(parents=True)
    (source / ".go/src/k8s.io/kubernetes").symlink_to("../../..")
    home = folder / "home"
    home.mkdir(exist_ok=True)
    environment = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GO111MODULE": "off",
        "GOPATH": str(source / ".go"),
        "HOME": str(home),
    }
    _run(
        "make",
        f"WHAT={' '.join(f'cmd/{name}' for name in KUBERNETES)}",
        cwd=source,
        env=environment,
        stdout=sys.stderr,
    )
    built.mkdir(exist_ok=True)
    for name in KUBERNETES:
        shutil.copy2(source / "_output/bin" / name, built / name)
    shutil.rmtree(source)
    return built


def _unpack_source(folder: Path, source: Path) -> None:
    """Fetch the source package with apt, with package lists separate from the machine's own."""
    lists = folder / "apt"
    apt = private_apt(lists, "deb-src", release())
    _run(*apt, "source", "--download-only", "kubernetes", cwd=lists, stdout=sys.stderr)
    _run(
        "dpkg-source",
        "--no-copy",
        "--extract",
        next(lists.glob("kubernetes_*.dsc")),
        source,
        stdout=sys.stderr,
    )


def build_helper(folder: Path) -> Path:
    """Build the helpers' program, and return its path."""
    helper = folder / "helper"
    environment = {**os.environ, "CGO_ENABLED": "0", "GO111MODULE": "off", "HOME": str(folder)}
    _run("go", "build", "-o", helper, _HERE / "helper.go", env=environment)
    return helper


def build_front(folder: Path) -> Path:
    """Build the proxy in front of the API server, unless it exists; return its path."""
    built = folder / "front"
    if not built.exists():
        root = folder / "libraries"
        _make_system(root, "sid", *_LIBRARIES)
        shutil.copy2(_HERE / "front.go", root / "root/front.go")
        settings = {
            "CGO_ENABLED": "0",
            "GO111MODULE": "off",
            "GOPATH": "/usr/share/gocode",
            "GOROOT": "/usr/lib/go",  # without /proc, the compiler does not find its own
            "HOME": "/root",
            "PATH": "/usr/bin:/bin",
        }
        variables = [f"{name}={value}" for name, value in settings.items()]
        _run("chroot", root, "env", "-i", *variables, "go", "build", "-o", "/root/front", "/root/front.go")
        shutil.copy2(root / "root/front", built)
        shutil.rmtree(root)
    return built


def _make_system(root: Path, suite: str, *packages: str) -> None:
    """Create the root folder of a small Debian with these packages."""
    shutil.rmtree(root, ignore_errors=True)
    include = f"--include={','.join(packages)}"
    _run("debootstrap", "--variant=minbase", include, suite, root, mirror(), stdout=sys.stderr)


def make_postgres(folder: Path) -> Path:
    """Create the root folder of a system with PostgreSQL, unless it exists; return its path."""
    root = folder / "postgres"
    if not (root / "complete").exists():
        _make_system(root, release(), "postgresql")
        (root / "complete").touch()
    return root
