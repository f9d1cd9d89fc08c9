"""Single-layer images in the format of ``docker save``, which containerd imports."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_image(archive: Path, name: str, files: Mapping[str, Path], config: Mapping[str, Any]) -> None:
    """Write an image.

    Parameters
    ----------
    archive
        The path of the archive.
    name
        The name and tag of the image.
    files
        The files and folders to add, by their paths in the image.
    config
        The image configuration (``Entrypoint``, ``Env``, ``User``).
    """
    layer = archive.with_suffix(".layer")
    with tarfile.open(layer, "w") as tar:
        for path, file in files.items():
            tar.add(file, path)
    with layer.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    described = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    config_name = f"{hashlib.sha256(described).hexdigest()}.json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(archive, "w") as tar:
        for path, data in ((config_name, described), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        tar.add(layer, "layer.tar")
    layer.unlink()
