"""
The growth of a plan as a picture: CPU seconds and peak memory over the number of users, both scales logarithmic.

Owns the picture. SVG by hand, so that it needs nothing and reads in a diff.
"""

from collections.abc import Iterator
from math import ceil, log10

Point = tuple[int, float, float]

_PANEL = 300  # both ways
_LEFT, _TOP, _GAP = 60, 40, 100
_COLOURS = ("#0b6bcb", "#b54708")
_NAMES = ("CPU, seconds", "peak memory, MiB")


def drawn(points: list[Point]) -> str:
    """
    Draw the points side by side, CPU and memory, each beside a line of exact proportion through its largest size.
    """
    width, height = 2 * (_LEFT + _PANEL) + _GAP, _TOP + _PANEL + 60
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'font-family="sans-serif" font-size="13">',
        "<title>CPU and peak memory of a plan over the number of users a side</title>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for at in (0, 1):
        left = _LEFT + at * (_PANEL + _GAP)
        lines += _panel(left, _NAMES[at], _COLOURS[at], [(point[0], point[1 + at]) for point in points])
    return "\n".join([*lines, "</svg>", ""])


def _panel(left: int, name: str, colour: str, points: list[tuple[int, float]]) -> Iterator[str]:
    first, last = log10(points[0][0]), log10(points[-1][0])
    low = int(log10(min(value for _, value in points)))
    high = max(low + 2, ceil(log10(max(value for _, value in points))))

    def place(count: float, value: float) -> tuple[float, float]:
        across = (log10(count) - first) / ((last - first) or 1)
        up = (log10(value) - low) / (high - low)
        return left + _PANEL * across, _TOP + _PANEL * (1 - up)

    yield f'<text x="{left}" y="{_TOP - 14}" font-weight="bold" fill="{colour}">{name}</text>'
    for power in range(low, high + 1):
        _, y = place(points[0][0], 10.0**power)
        yield f'<path d="M{left} {y:.0f}h{_PANEL}" stroke="#ddd"/>'
        yield f'<text x="{left - 8}" y="{y + 4:.0f}" text-anchor="end" fill="#555">{10**power:,}</text>'
    count, value = points[-1]
    least = max(points[0][0], count * 10.0**low / value)
    ends = (place(least, value * least / count), place(count, value))
    yield f'<path d="{_way(ends)}" stroke="#999" stroke-dasharray="4 4" fill="none"/>'
    spots = [place(*point) for point in points]
    yield f'<path d="{_way(spots)}" stroke="{colour}" stroke-width="2" fill="none"/>'
    for (count, value), (x, y) in zip(points, spots, strict=True):
        yield f'<circle cx="{x:.0f}" cy="{y:.0f}" r="4" fill="{colour}"/>'
        yield f'<text x="{x - 8:.0f}" y="{y - 8:.0f}" text-anchor="middle" fill="#222">{value:,.0f}</text>'
        yield f'<text x="{x:.0f}" y="{_TOP + _PANEL + 20}" text-anchor="middle" fill="#555">{_short(count)}</text>'
    yield f'<text x="{left + _PANEL / 2:.0f}" y="{_TOP + _PANEL + 42}" text-anchor="middle" fill="#555">users a side</text>'


def _way(spots: list[tuple[float, float]] | tuple[tuple[float, float], ...]) -> str:
    return "M" + "L".join(f"{x:.0f} {y:.0f}" for x, y in spots)


def _short(count: int) -> str:
    return f"{count // 1_000_000} million" if count >= 1_000_000 else f"{count // 1000:,},000"
