"""Columns of PostGIS and pgvector: geometries with their CRS, and vectors as NumPy arrays.

Their OIDs differ from database to database, so the catalogue is queried for a type that psycopg does not know, once in a
session. Only a type that belongs to the extension is read this way, since any user may create a type of the same name.
Both formats give the same values: a geometry is EWKB, as bytes or as hexadecimal text.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import psycopg

from sspcloud_magics.databases import arrow
from sspcloud_magics.databases.postgres.results import column_types
from sspcloud_magics.databases.postgres.results.binary_decoders import Decoder
from sspcloud_magics.databases.postgres.results.column_types import Array, Note, ResultColumn
from sspcloud_magics.i18n import N_, _

# Names and operators are qualified, since it runs with the user's search path.
_TYPES = b"""
SELECT t.oid, t.typname FROM pg_catalog.pg_type AS t
JOIN pg_catalog.pg_depend AS d ON d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass
    AND d.objid OPERATOR(pg_catalog.=) t.oid AND d.deptype OPERATOR(pg_catalog.=) 'e'::pg_catalog."char"
JOIN pg_catalog.pg_extension AS e ON d.refobjid OPERATOR(pg_catalog.=) e.oid
    AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
WHERE t.oid OPERATOR(pg_catalog.=) ANY (%s::pg_catalog.oid[])
    AND e.extname OPERATOR(pg_catalog.=) ANY ('{postgis,vector}'::pg_catalog.name[])
    AND t.typname OPERATOR(pg_catalog.=) ANY ('{geometry,geography,vector,halfvec,sparsevec}'::pg_catalog.name[])
"""

GEOMETRIES = frozenset({"geometry", "geography"})
_BYTEA = psycopg.adapters.types["bytea"].oid
# The SRID of a geography without one, and the dimensions above which a sparse vector is not made dense: pgvector's own
# limit for the type vector.
_WGS84 = 4326
_DENSE = 16_000


# The names of the extensions' types by their OIDs, by session.
_known: weakref.WeakKeyDictionary[psycopg.Connection[Any], dict[int, str]] = weakref.WeakKeyDictionary()


def register_types(connection: psycopg.Connection[Any], types: Iterable[int]) -> None:
    """Look up types in an idle session, of which psycopg knows none."""
    if wanted := list(types):
        known = _known.setdefault(connection, {})
        known.update(connection.execute(_TYPES, [wanted]).fetchall())


def find_name(connection: psycopg.Connection[Any], oid: int) -> str | None:
    """Return the name of an extension's type; None for any other type."""
    return _known.get(connection, {}).get(oid)


def has_geopandas() -> bool:
    """Whether geometries can be converted."""
    return find_spec("geopandas") is not None


def get_decoder(name: str) -> Decoder | None:
    """Return the decoder for a type in the binary format; None for a geometry that stays text."""
    if name in GEOMETRIES:
        return Decoder(_BYTEA, _gather, column_types.join_pieces) if has_geopandas() else None
    return Decoder(_BYTEA, _BINARY_VECTORS[name], column_types.join_pieces)


def convert_column(column: ResultColumn, name: str, modifier: int) -> None:
    """Make a column of strings one of an extension's type, with the values that it has so far.

    Parameters
    ----------
    column
        The column, as made for an unknown type.
    name
        The name of the type.
    modifier
        The modifier of the type: PostGIS stores an SRID in it, and pgvector a number of dimensions; -1 if there is none.
    """
    if name in GEOMETRIES and not has_geopandas():
        column.note(Note.NO_GEOPANDAS, 1)
        return
    texts = column.list_texts()
    if name in GEOMETRIES:
        column.to_piece, column.plain = _make_pieces(_identity), None
        column.to_pandas = partial(_to_geometries, column, _get_srid(name, modifier))
    else:
        column.oid = arrow.VectorOid(column.oid, max(modifier, 0), is_sparse=name == "sparsevec")
        column.to_piece, column.plain = _make_pieces(_TEXT_VECTORS[name]), np.dtype(object)
        column.to_pandas = column_types.join_pieces
    if texts:
        column.take(column.to_piece(texts, column))


def _make_pieces(load: Callable[[Any], Any]) -> Callable[[Any, ResultColumn], Array]:
    def to_piece(values: Any, column: ResultColumn) -> Array:
        column.size += sum(map(len, filter(None, values)))
        return column_types.objects([None if value is None else load(value) for value in values], column)

    return to_piece


def _identity(value: Any) -> Any:
    return value


_gather = _make_pieces(_identity)


def _get_srid(name: str, modifier: int) -> int:
    """Return the SRID of a declared type, which PostGIS stores in bits 8 to 28 with a sign; 0 if there is none."""
    if modifier < 0:
        return _WGS84 if name == "geography" else 0
    return ((modifier & 0x0FFFFF00) - (modifier & 0x10000000)) >> 8


def _to_geometries(column: ResultColumn, srid: int, pieces: list[Any]) -> Any:
    """Return EWKB as an array of geometries with their CRS, or as hexadecimal text if it cannot be read."""
    import geopandas  # noqa: PLC0415 - optional
    import shapely  # noqa: PLC0415 - optional

    values = column_types.join_pieces(pieces)
    try:
        shapes = shapely.from_wkb(values)
    except (shapely.errors.ShapelyError, NotImplementedError, TypeError):  # curves, or a hostile server
        column.note(Note.NO_GEOMETRY, len(values))
        texts = [each.hex().upper() if isinstance(each, bytes) else each for each in values]
        return column_types.to_strings([column_types.strings(texts, column)])
    found = Counter(shapely.get_srid(shapes[~shapely.is_missing(shapes)]).tolist())
    srid = next(iter(found)) if len(found) == 1 else srid
    if len(found) > 1:
        column.note(Note.MIXED_SRIDS, len(found))
        srid = 0
    return geopandas.array.GeometryArray(shapes, crs=_find_crs(srid, column))


def _find_crs(srid: int, column: ResultColumn) -> Any:
    """Return the CRS of an SRID; None if there is none."""
    import pyproj  # noqa: PLC0415 - optional

    for authority in ("EPSG", "ESRI"):
        try:
            return pyproj.CRS.from_authority(authority, srid) if srid else None
        except pyproj.exceptions.CRSError:
            continue
    column.note(Note.UNKNOWN_SRID, srid)
    return None


def _load_vector(dtype: str) -> Callable[[str], Array]:
    return lambda text: np.array(text[1:-1].split(","), dtype=dtype)


def _load_sparse(text: str) -> Any:
    """Return ``{1:0.5,3:2}/5``, whose indices begin with 1, as an array; as it is if the array would be large."""
    items, _unused, dimensions = text.rpartition("/")
    if int(dimensions) > _DENSE:
        return text
    made = np.zeros(int(dimensions), "f4")
    for item in filter(None, items[1:-1].split(",")):
        index, _unused, value = item.partition(":")
        made[int(index) - 1] = float(value)
    return made


_TEXT_VECTORS = {"vector": _load_vector("f4"), "halfvec": _load_vector("f2"), "sparsevec": _load_sparse}


def _gather_vectors(wire: str, values: Sequence[bytes | None], column: ResultColumn) -> Array:
    """Return vectors: two 16-bit integers each, of which the first is the number of dimensions, then the numbers."""
    number = np.dtype(wire)

    def load(value: bytes) -> Array:
        numbers = np.frombuffer(value, number, offset=_HEADER)
        if len(numbers) != int.from_bytes(value[:2], "big"):
            raise ValueError(_(_NO_VECTOR))
        return numbers.astype(number.newbyteorder("="))

    lengths = {None if value is None else len(value) for value in values}
    if len(lengths) != 1 or None in lengths or len(values) == 1:
        return _make_pieces(load)(values, column)
    # Vectors of one length are decoded together, and become rows of one array.
    dimensions = len(load(values[0] or b""))
    row = np.dtype([("head", ">u2"), ("unused", ">u2"), ("numbers", number, (dimensions,))])
    wired = np.frombuffer(b"".join(filter(None, values)), row)
    if (wired["head"] != dimensions).any():
        raise ValueError(_(_NO_VECTOR))
    column.size += wired.nbytes
    return column_types.objects(list(wired["numbers"].astype(number.newbyteorder("="))), column)


_HEADER = 4
_NO_VECTOR = N_("the server sent a vector whose length contradicts its header")


def _load_binary_sparse(value: bytes) -> Any:
    """Return three 32-bit integers (dimensions, values, unused), the indices from 0, and the values as an array."""
    dimensions, count, _reserved = np.frombuffer(value, ">i4", 3).tolist()
    indices = np.frombuffer(value, ">i4", count, offset=12)
    numbers = np.frombuffer(value, ">f4", count, offset=12 + 4 * count)
    if dimensions > _DENSE:
        pairs = zip(indices.tolist(), numbers.astype("f4"), strict=True)
        items = ",".join(f"{index + 1}:{arrow.write_number(number)}" for index, number in pairs)
        return f"{{{items}}}/{dimensions}"
    made = np.zeros(dimensions, "f4")
    made[indices] = numbers
    return made


_BINARY_VECTORS: dict[str, Callable[[Sequence[Any], ResultColumn], Array]] = {
    "vector": partial(_gather_vectors, ">f4"),
    "halfvec": partial(_gather_vectors, ">f2"),
    "sparsevec": _make_pieces(_load_binary_sparse),
}
