"""Promises about the text that a native value stands for."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest

from reconcile.sources.values import as_text


class Bird(Enum):
    """What some drivers give for an enum."""

    KIWI = "kiwi"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("  NA ", "  NA "),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (2**70, "1180591620717411303424"),
        (12.0, "12"),
        (-0.5, "-0.5"),
        (1e300, "1e+300"),
        (Decimal("1.50"), "1.50"),
        (Decimal("1E+3"), "1000"),
        (Decimal("1E-10"), "0.0000000001"),
        (UUID(int=10), "00000000-0000-0000-0000-00000000000a"),
        (datetime(2026, 11, 23, 2, tzinfo=UTC), "2026-11-23T02:00:00+00:00"),
        (date(2026, 11, 23), "2026-11-23"),
        (time(2, 30), "02:30:00"),
        (b"Kiw\xc3\xad", "Kiwí"),
        (memoryview(b"kiwi"), "kiwi"),
        (["fig", "plum"], '["fig","plum"]'),
        (("fig", None), '["fig",null]'),
        (
            {"a": {"b": Decimal("1.5"), "c": UUID(int=0)}},
            '{"a":{"b":1.5,"c":"00000000-0000-0000-0000-000000000000"}}',
        ),
        (Bird.KIWI, "kiwi"),
    ],
)
def test_a_native_value_becomes_the_text_that_an_export_would_have_written(value: Any, text: str | None) -> None:
    """Numbers without an exponent where they are whole, times in ISO 8601, the rest as JSON."""
    assert as_text(value) == text
