"""Show a forecast as a table."""

from collections.abc import Callable

from rich.console import Group
from rich.table import Table
from rich.text import Text

from mella.builders.culture.discover.forecast import Forecast, LanguageForecast

_UNKNOWN = "unknown"
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_COLUMNS: tuple[tuple[str, Callable[[LanguageForecast], str]], ...] = (
    ("pages", lambda one: _count(one.pages)),
    ("passed over", lambda one: _count(sum(one.passed_over.values()))),
    ("hosts", lambda one: _count(one.hosts)),
    ("archives", lambda one: _bytes(one.archive_bytes)),
    ("candidates", lambda one: _count(one.candidates)),
    ("images to fetch", lambda one: _count(one.images)),
    ("samples", lambda one: _count(one.samples)),
    ("images kept", lambda one: _bytes(one.sample_bytes)),
    ("measured on", lambda one: "" if one.measured_on is None else f"{one.measured_on:,} pages"),
)


def forecast_table(found: Forecast, title: str) -> Group:
    """Return what a build comes to, a row for each language, and how long it takes below."""
    table = Table()
    table.add_column("lang")
    for name, _ in _COLUMNS:
        table.add_column(name, justify="right")
    for one in found.languages:
        table.add_row(one.lang, *(show(one) for _, show in _COLUMNS))
    hours = (
        "no pause" if found.archive_hours is None else f"{_hours(found.archive_hours)} of pauses"
    )
    fetching = _UNKNOWN if found.image_hours is None else f"{_hours(found.image_hours)} or more"
    busiest = f"{found.busiest_host or 'none'} ({_count(found.busiest_images)} images)"
    lines = [
        f"Reading archives: {hours}.",
        f"Fetching images: {fetching}; busiest host: {busiest}.",
    ]
    return Group(Text(title, style="italic"), table, *(Text(line) for line in lines))


def _count(number: float | None) -> str:
    return _UNKNOWN if number is None else f"{number:,.0f}"


def _hours(hours: float) -> str:
    return f"{hours:,.1f} hours"


def _bytes(number: float | None) -> str:
    if number is None:
        return _UNKNOWN
    for unit in _UNITS:
        if number < 1000 or unit == _UNITS[-1]:
            break
        number /= 1000
    return f"{number:,.0f} {unit}" if unit == "B" else f"{number:,.1f} {unit}"
