"""The objects that a COPY of DuckDB writes to S3: their format, and what they may replace."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sspcloud_magics.databases.export import find_suffix
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import _
from sspcloud_magics.lake.attachment import identifier, literal

if TYPE_CHECKING:
    from sspcloud_magics.lake.instance import Instance
    from sspcloud_magics.lake.s3_uploads import Batch

_FORMATS = {
    ".parquet": "FORMAT parquet, COMPRESSION zstd",
    ".csv": "FORMAT csv, HEADER",
}


@dataclass(frozen=True, slots=True)
class S3Target:
    """An address in S3 for the rows of a query.

    Parameters
    ----------
    place
        The address: ``s3://bucket/name.parquet`` or ``.csv``; a prefix if the rows are divided.
    overwrite
        Whether existing objects may be replaced.
    partition_by
        The columns by whose values rows are divided into objects.
    """

    place: str
    overwrite: bool
    partition_by: Sequence[str] = ()

    def check(self, instance: Instance) -> list[str]:
        """Return the existing objects that the new ones replace.

        Raises
        ------
        UsageProblem
            If the address cannot be written, or there are objects and they may not be replaced.
        """
        copy_options(self.place, self.partition_by)
        if not re.fullmatch(r"s3://[^/]+/[^/].*", self.place):
            raise UsageProblem(
                _("{place} has no bucket, or no name in it.", place=self.place),
                hint=_("use --to s3://BUCKET/NAME.parquet"),
            )
        # DuckDB returns a name without a pattern even if there is no such object.
        pattern = f"{self.place[:-1]}[{self.place[-1]}]"
        if self.partition_by:
            # Only what an earlier export has written may be replaced: the prefix may contain other objects.
            folders = "/".join(f"{name}=*" for name in self.partition_by)
            pattern = f"{self.place.rstrip('/')}/{f'{folders}/*.parquet' if self.overwrite else '**'}"
        found = [
            name
            for (name,) in instance.duck.cursor().execute("SELECT file FROM glob($1)", [pattern]).fetchall()
        ]
        if found and not self.overwrite:
            raise UsageProblem(
                _("{place} exists.", place=self.place),
                hint=_("choose another name, or replace it with --overwrite"),
            )
        return found

    @contextmanager
    def replace_objects(self, instance: Instance) -> Iterator[tuple[Batch, str]]:
        """Yield the end of a COPY statement, and complete its objects at the end of the block; an error leaves none.

        Raises
        ------
        UsageProblem
            As `check`.
        """
        earlier = self.check(instance)
        with instance.batch() as batch:
            # Nothing is at DuckDB's path, so that it has nothing to refuse.
            yield (
                batch,
                f"TO {literal(batch.place_of(self.place))} ({copy_options(self.place, self.partition_by)})",
            )
        written = {each.path for each in batch.objects}
        for each in earlier:
            if (path := each.removeprefix("s3://")) not in written:
                batch.send("DELETE", path, {})


def is_s3(place: object) -> bool:
    """Whether a place is an address in S3."""
    return isinstance(place, str) and place.startswith("s3://")


def copy_options(place: str, partition_by: Sequence[str]) -> str:
    """Return the options of DuckDB's COPY for a file or an object.

    Examples
    --------
    >>> copy_options("s3://bucket/towns.parquet", ())
    'FORMAT parquet, COMPRESSION zstd'
    >>> copy_options("s3://bucket/towns", ["region"])
    'FORMAT parquet, COMPRESSION zstd, PARTITION_BY ("region")'
    """
    if partition_by:
        if Path(place).suffix:
            raise UsageProblem(
                _("--partition-by writes many objects below a prefix, not one object {place}.", place=place),
                hint=_("name a prefix: --to s3://bucket/towns --partition-by region"),
            )
        by = ", ".join(map(identifier, partition_by))
        return f"{_FORMATS['.parquet']}, PARTITION_BY ({by})"
    return _FORMATS[find_suffix(place)]
