"""DuckDB's extensions: those of the image, else those of the installed wheels. Nothing is downloaded."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import _

if TYPE_CHECKING:
    import duckdb

POSTGRES, HTTPFS = "postgres_scanner", "httpfs"


def load(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Load an extension into a DuckDB instance.

    Raises
    ------
    UsageProblem
        If neither the image nor a wheel has it for this version of DuckDB.
    """
    import duckdb  # noqa: PLC0415 - optional

    try:
        connection.load_extension(name)
    except duckdb.Error:
        file = _find_in_wheel(name, duckdb.__version__)
        if file is None:
            raise UsageProblem(
                _(
                    "DuckDB {version} has no extension {name} here.",
                    version=duckdb.__version__,
                    name=name,
                ),
                why=_("The image does not contain it, and no installed package does for this version."),
                hint=_("install it, then restart the kernel: %pip install 'sspcloud-magics[duckdb]'"),
            ) from None
        connection.load_extension(str(file))


def _find_in_wheel(name: str, version: str) -> Path | None:
    package = find_spec(f"duckdb_extension_{name}")
    if package is None or package.origin is None:
        return None
    file = Path(package.origin).parent / "extensions" / f"v{version}" / f"{name}.duckdb_extension"
    return file if file.is_file() else None
