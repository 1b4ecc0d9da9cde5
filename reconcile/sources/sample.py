"""The first rows of an export, read to propose a mapping: a bounded look, by the readers that a run uses."""

from contextlib import suppress
from dataclasses import replace

import msgspec

from reconcile.errors import SourceError
from reconcile.proposal import Sample
from reconcile.settings import Source

__all__ = ["read_sample", "tables_of"]

SAMPLE_ROWS = 200
# What exports that are no UTF-8 mostly are; the second and third are UTF-16 without a mark.
_ENCODINGS = ("windows-1252", "utf-16-le", "utf-16-be")


def read_sample(source: Source, count: int = SAMPLE_ROWS) -> Sample:
    """Give the columns and at most `count` rows. Raises: SourceError when the export cannot be opened."""
    if source.is_database:
        from reconcile.sources.sql import sample_sql  # noqa: PLC0415 - SQLAlchemy only where it is asked for

        return sample_sql(source, count)
    from reconcile.sources.files import sample_file  # noqa: PLC0415 - as above, for the file formats

    try:
        return sample_file(source, count)
    except SourceError:
        # What came through a pipe is gone.
        if source.encoding or source.location == "-":
            raise
        for encoding in _ENCODINGS:
            with suppress(SourceError):
                found = sample_file(msgspec.structs.replace(source, encoding=encoding), count)
                if all(name.isprintable() for name in found.columns):
                    return replace(found, encoding=encoding)
        raise


def tables_of(source: Source) -> tuple[str, ...]:
    """Give the tables and views of a database that the account sees; none where it is of an unknown kind."""
    from reconcile.sources.sql import tables_query  # noqa: PLC0415 - as above

    query = tables_query(source)
    if not query:
        return ()
    found = read_sample(msgspec.structs.replace(source, query=query, table=""), count=1_000)
    return tuple(name for (name,) in found.rows if name)
