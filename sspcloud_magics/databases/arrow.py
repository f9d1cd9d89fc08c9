"""Conversion of rows to Arrow tables, for Parquet files and for libraries that accept one.

Columns of objects are converted by the column's type alone, so that all parts of a result have the same schema:
bytes and times keep their type, JSON becomes its text, and so does any other type (uuid, arrays, ranges, exact numerics).
Vectors become lists of floats, and geometries WKB with the metadata of GeoParquet.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, cast

import pandas as pd

from sspcloud_magics.databases.column_names import FOR_POLARS, refuse_duplicates
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import _

# A kind of database describes its columns by the OIDs of PostgreSQL's types: those that it has, or that correspond.
BYTES, TIME, DATE, NUMERIC, JSON, TEXT = 17, 1083, 1082, 1700, (114, 3802), 25


class VectorOid(int):
    """The OID of a type of vectors.

    Parameters
    ----------
    dimensions
        The number of dimensions that the type declares; 0 if it declares none.
    is_sparse
        Whether values are stored as pairs of an index and a number. They may have many dimensions, so they stay pairs in
        Arrow, as text.
    """

    dimensions: int
    is_sparse: bool

    def __new__(cls, oid: int, dimensions: int, *, is_sparse: bool) -> Self:
        """Return the OID with its attributes."""
        made = super().__new__(cls, oid)
        made.dimensions, made.is_sparse = dimensions, is_sparse
        return made


def import_optional(package: str, extra: str, what: str) -> Any:
    """Import an optional package, or explain how to install it.

    Raises
    ------
    UsageProblem
        If it is not installed.
    """
    from importlib import import_module  # noqa: PLC0415 - next to its use

    try:
        return import_module(package)
    except ImportError:
        raise UsageProblem(
            _("{what} needs the package {package}, which is not installed.", what=what, package=package),
            hint=_("install it: %pip install 'sspcloud-magics[{extra}]'", extra=extra),
        ) from None


def to_plain_columns(frame: pd.DataFrame, types: Sequence[int]) -> list[pd.Series[Any]]:
    """Return the columns of a frame, with objects other than bytes and times converted to strings."""
    columns = []
    for index, oid in enumerate(types):
        column = frame.iloc[:, index]
        if is_geometry(column):
            column = pd.Series(write_ewkb(column), dtype="string", index=column.index)
        elif column.dtype == object and isinstance(oid, VectorOid):
            write = write_sparse_vector if oid.is_sparse else write_vector
            texts = [None if value is None else write(value) for value in column]
            column = pd.Series(texts, dtype="string", index=column.index)
        elif column.dtype == object and oid not in (BYTES, TIME):
            texts = [
                None
                if value is None
                else json.dumps(value, ensure_ascii=False)
                if oid in JSON
                else str(value)
                for value in column
            ]
            column = pd.Series(texts, dtype="string", index=column.index)
        columns.append(column)
    return columns


def is_geometry(column: pd.Series[Any]) -> bool:
    """Whether a column contains geometries of GeoPandas."""
    return getattr(column.dtype, "name", "") == "geometry"


def write_ewkb(column: Any, srid: int | None = None) -> list[str | None]:
    """Return geometries as PostGIS writes them: WKB with the SRID, in hexadecimal digits.

    Parameters
    ----------
    column
        A series of GeoPandas.
    srid
        The SRID; if None, that of each geometry.
    """
    import shapely  # noqa: PLC0415 - GeoPandas has imported it

    shapes = column.to_numpy() if srid is None else shapely.set_srid(column.to_numpy(), srid)
    texts: list[str | None] = shapely.to_wkb(shapes, hex=True, include_srid=True).tolist()
    return texts


def write_vector(vector: Any) -> str:
    """Return a vector as pgvector writes it.

    Examples
    --------
    >>> import numpy as np
    >>> write_vector(np.array([1, 0.1], dtype="float32"))
    '[1,0.1]'
    """
    return f"[{','.join(map(write_number, vector))}]"


def write_sparse_vector(vector: Any) -> str:
    """Return a sparse vector as pgvector writes it; a text is returned as it is.

    Examples
    --------
    >>> import numpy as np
    >>> write_sparse_vector(np.array([0, 0.5, 0], dtype="float32"))
    '{2:0.5}/3'
    """
    if isinstance(vector, str):
        return vector
    items = ",".join(f"{place}:{write_number(each)}" for place, each in enumerate(vector, 1) if each)
    return f"{{{items}}}/{len(vector)}"


def write_number(number: Any) -> str:
    """Return a float of NumPy as PostgreSQL writes it, in the fewest digits."""
    return str(number).removesuffix(".0")


def arrow_table(frame: pd.DataFrame, types: Sequence[int]) -> Any:
    """Return the frame as a ``pyarrow.Table``.

    Raises
    ------
    UsageProblem
        If pyarrow is not installed.
    """
    pa = import_optional("pyarrow", "arrow", _("An Arrow table"))
    arrays = []
    geometries = {}
    for index, (column, oid) in enumerate(zip(to_plain_columns(frame, types), types, strict=True)):
        given = frame.iloc[:, index]
        if is_geometry(given):
            arrays.append(pa.array(given.to_wkb(flavor="iso").tolist(), pa.binary()))
            geometries[str(frame.columns[index])] = given.crs
        elif isinstance(oid, VectorOid) and not oid.is_sparse:
            size = (oid.dimensions,) if oid.dimensions else ()
            rows = [None if value is None else value.astype("f4") for value in given]
            arrays.append(pa.array(rows, pa.list_(pa.float32(), *size)))
        elif column.dtype == object:
            arrays.append(pa.array(column.tolist(), pa.binary() if oid == BYTES else pa.time64("us")))
        elif column.dtype == "string":
            arrays.append(pa.array(column, pa.large_string()))
        elif oid == DATE:
            arrays.append(pa.array(column, from_pandas=True).cast(pa.date32()))
        else:
            arrays.append(pa.array(column, from_pandas=True))
    table = pa.Table.from_arrays(arrays, names=[str(name) for name in frame.columns])
    return table.replace_schema_metadata({"geo": _describe_geometries(geometries)}) if geometries else table


def _describe_geometries(crs: Mapping[str, Any]) -> str:
    """Return GeoParquet's metadata (version 1.0) for columns of geometries with their CRS; null is an unknown one."""
    columns: dict[str, dict[str, Any]] = {
        name: {"encoding": "WKB", "geometry_types": [], "crs": None if each is None else each.to_json_dict()}
        for name, each in crs.items()
    }
    return json.dumps({"version": "1.0.0", "primary_column": next(iter(crs)), "columns": columns})


def polars_frame(frame: pd.DataFrame, types: Sequence[int]) -> Any:
    """Return the frame as a ``polars.DataFrame``.

    Raises
    ------
    UsageProblem
        If polars or pyarrow is not installed, or two columns have the same name.
    """
    refuse_duplicates(frame.columns, FOR_POLARS)
    return import_optional("polars", "arrow", _("A polars DataFrame")).from_arrow(arrow_table(frame, types))


def converter(as_: str) -> Callable[[pd.DataFrame, Sequence[int]], Any]:
    """Return the function that converts rows to ``pandas``, ``geopandas``, ``arrow`` or ``polars``.

    Raises
    ------
    UsageProblem
        If a package is needed and not installed.
    """
    if as_ == "pandas":
        return lambda frame, _types: frame
    if as_ == "geopandas":
        import_optional("geopandas", "geo", _("A GeoDataFrame"))
        return _require_geometries
    import_optional("pyarrow", "arrow", _("An Arrow table"))
    return arrow_table if as_ == "arrow" else polars_frame


def _require_geometries(frame: pd.DataFrame, types: Sequence[int]) -> pd.DataFrame:  # noqa: ARG001 - one signature for all
    """Return a frame with geometries as it is.

    Raises
    ------
    UsageProblem
        If it is no GeoDataFrame.
    """
    if not hasattr(frame, "to_crs"):
        raise UsageProblem(
            _("The result has no column of geometries."),
            hint=_("select one of type geometry or geography, or leave out --as geopandas"),
        )
    return frame


def to_pandas(frame: Any) -> pd.DataFrame:
    """Convert a DataFrame of polars or Arrow to pandas, with its types.

    Raises
    ------
    UsageProblem
        If it is not a DataFrame.
    """
    made = frame
    if hasattr(frame, "to_pandas"):
        if type(frame).__module__.startswith("polars") and hasattr(frame, "iter_columns"):
            made = pd.DataFrame({column.name: _polars_column(column) for column in frame.iter_columns()})
        else:
            made = frame.to_pandas(types_mapper=pd.ArrowDtype)
    if not isinstance(made, pd.DataFrame):
        raise UsageProblem(
            _("A {type} is not a DataFrame.", type=type(frame).__name__),
            hint=_("convert it: df = pd.DataFrame(…)"),
        )
    return made


def _polars_column(column: Any) -> pd.Series[Any]:
    try:
        return cast("pd.Series[Any]", column.to_pandas(use_pyarrow_extension_array=True))
    except Exception:  # noqa: BLE001 - any error for a type that Arrow does not have, such as 128-bit integers
        return pd.Series(column.to_list(), dtype=object)
