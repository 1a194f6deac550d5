"""The figures as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

#: What stands above the columns.
_HEAD: Final = (
    "| case | product s: median (min-max) | limit s | ratio | over the limit s | allowed s | CPU s | limit's "
    "| steady ms a mini-batch | limit's |"
)


def table(measured: Iterable[Mapping[str, Any]]) -> str:
    """Return the comparisons as a Markdown table."""
    lines = [
        _HEAD,
        "|" + " --- |" * 10,
        *(_row(one) for one in measured),
    ]
    return "\n".join(lines)


def _row(one: Mapping[str, Any]) -> str:
    cells = [
        f"{one['case']}: {one['title']}",
        shown(one["product"]),
        shown(one["limit"]),
        shown(one["ratio"]),
        shown(one["over"]),
        f"{one['allowed']:g}{'' if one['over']['median'] <= one['allowed'] else ' **exceeded**'}",
        f"{one['product_cpu']['median']:.2f}",
        f"{one['limit_cpu']['median']:.2f}",
        f"{one['product_steady_ms']['median']:.4f}",
        f"{one['limit_steady_ms']['median']:.4f}",
    ]
    return f"| {' | '.join(cells)} |"


def shown(value: Mapping[str, float]) -> str:
    """Return the median of some figures, and between which they lie."""
    return f"{value['median']:.2f} ({value['min']:.2f}-{value['max']:.2f})"


def describe(machine: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines that say where this was measured."""
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    yield f"{machine['cores']} cores ({machine['processor']}), {machine['system']}, Python {machine['python']}"
    yield f"{machine['measured']}, load before {machine['load_before']}; {versions}"
