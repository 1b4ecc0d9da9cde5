"""
Report values as files: JSON, HTML, Markdown and CSV. What a run says is decided in `core.report`.

Here stands what every form has in common; writing them needs the whole run, and so is in `report.files`.
"""

import msgspec

from reconcile.core.report import Report

__all__ = ["REPORT_FILES", "encode_report"]

REPORT_FILES = {"html": "report.html", "json": "report.json", "csv": "changes.csv", "md": "report.md"}


def encode_report(report: Report) -> bytes:
    """Give report.json."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
