"""Files as the readers of Python's standard library read them, to hold ours against."""

import csv
import io
import json
from typing import Any

__all__ = ["csv_records", "json_records"]


def csv_records(text: str, delimiter: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and each record that is no blank line with the line that it starts on."""
    reader = csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""), delimiter=delimiter)
    header, records, line = [name.strip() for name in next(reader)], [], reader.line_num
    for row in reader:
        if row:
            records.append((line + 1, row))
        line = reader.line_num
    return header, records


def json_records(text: str) -> dict[int, Any]:
    """What stands on each line that is not blank; None where it is no JSON."""
    lines = enumerate(text.removeprefix("\ufeff").split("\n"), start=1)
    return {number: _json(line) for number, line in lines if line.strip(" \t\n\r\v\f")}


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
