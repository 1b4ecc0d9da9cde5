"""
Read from any other database that SQLAlchemy has a driver for. Untested, and read-only by the account's rights alone.

Nothing is committed, but not every statement waits for that.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import column, create_engine, select, table, text
from sqlalchemy.exc import SQLAlchemyError

from reconcile.sources.cursor import BATCH, Ask, Stream
from reconcile.sources.values import as_text

__all__ = ["open_otherwise"]


@contextmanager
def open_otherwise(ask: Ask) -> Iterator[Stream]:
    """Begin the read. Raises: SourceError, also while rows are fetched."""
    engine = create_engine(ask.url)
    try:
        with engine.connect().execution_options(stream_results=True, yield_per=BATCH) as connection:
            result = connection.execute(_statement(ask))
            columns = tuple(result.keys())

            def fetch() -> Sequence[Sequence[Any]]:
                ask.check_time()
                return result.fetchmany(BATCH)

            yield Stream(columns, (as_text,) * len(columns), fetch)
    except SQLAlchemyError as error:
        origin = str(getattr(error, "orig", None) or error) or type(error).__name__
        raise ask.refusal(origin.splitlines()[0]) from None
    finally:
        engine.dispose()


def _statement(ask: Ask) -> Any:
    if ask.source.query:
        # A colon is the query's own: it has no parameters that one could name.
        return text(ask.source.query.replace(":", r"\:"))
    schema, _, name = ask.source.table.rpartition(".")
    return select(text("*")).select_from(table(name, column("*"), schema=schema or None))
