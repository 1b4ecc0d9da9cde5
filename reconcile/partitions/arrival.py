"""An export on its way in: its rows stay in memory, or where they are too many, they go into partitions."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from reconcile.core.frame import Desired, desire
from reconcile.core.shape import without_collided
from reconcile.partitions.engines import Engine
from reconcile.partitions.parted import Parted, Spill
from reconcile.partitions.shelves import Shelf
from reconcile.partitions.sizing import how_many, most_in_memory
from reconcile.partitions.splitting import Splitter
from reconcile.partitions.tasks import Part
from reconcile.settings import Settings
from reconcile.sources import Export

__all__ = ["Arrival", "Place"]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Place:
    """Where partitions go, and who works through them; by the secret it is drawn whom a sketch may choose."""

    shelf: Shelf
    engine: Engine
    secret: str


class Arrival:
    """`rows` is where the reader puts them; `begin` gives the place for partitions once there are to be some."""

    def __init__(self, settings: Settings, known_rows: int, begin: Callable[[], Place]) -> None:
        """`known_rows` is how large the last export was."""
        self._settings = settings
        self._known_rows = known_rows
        self._begin = begin
        self._place: Place | None = None
        self.rows = Spill(most_in_memory(settings.run), self._split)

    def _split(self) -> Splitter:
        place = self._place = self._begin()
        parts = how_many(self._settings.run, self._known_rows)
        engine = type(place.engine).__name__.lower()
        log.info("partitions.begun", partitions=parts, engine=engine, at=str(place.shelf))
        return Splitter(place.shelf, "source", parts)

    def desired(self, export: Export, collided: frozenset[str] = frozenset()) -> Desired | Parted:
        """
        Check every row; `collided` are the marks of rows that collided when all was read last.

        Raises: StateError, EngineError.
        """
        place, split = self._place, self.rows.split
        if place is None or split is None:
            desired = desire(export.frame, export.mapping, export.ragged)
            return without_collided(desired, collided) if collided else desired
        sentinels = frozenset(uid.strip().lower() for uid in self._settings.guards.sentinels)
        template = Part(place.shelf, 0, 1, export.mapping, place.secret)
        return Parted.checked(
            split, place.shelf, place.engine, template, export.ragged, sentinels=sentinels, collided=collided
        )
