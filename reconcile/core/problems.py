"""What is wrong with the rows of a source, collected while columns are checked one after the other."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["Mask", "Problems", "true"]

Mask = npt.NDArray[np.bool_]


class Problems:
    """What is wrong with which row; only bad rows cost anything."""

    def __init__(self, rows: int) -> None:
        self.mask: Mask = np.zeros(rows, dtype=bool)
        self._texts: dict[int, list[str]] = {}

    def add(self, bad: Mask, say: str | Callable[[int], str]) -> None:
        """Note a problem of the rows that are marked; `say` words it, once or row by row."""
        for i in np.flatnonzero(bad).tolist():
            self._texts.setdefault(i, []).append(say if isinstance(say, str) else say(i))
        self.mask |= bad

    def text(self, row: int) -> str:
        """Give everything that is wrong with a row."""
        return "; ".join(self._texts[row])


def true(mask: pa.Array) -> Mask:
    """Give an Arrow mask as one of numpy's; what is not known is not true."""
    result: Mask = pc.fill_null(mask, fill_value=False).to_numpy(zero_copy_only=False)
    return result
