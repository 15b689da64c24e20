"""What a response or a page says about its use, kept as it was sent, for the consent steps.

A signal is one line of a header or one `<meta>` of a page: where it stands, its name and its raw
value. Nothing is interpreted here, so that a verdict can be repeated from what is stored.
"""

from collections.abc import Iterable, Mapping
from typing import TypedDict

import pyarrow as pa

SIGNALS = pa.list_(
    pa.struct(
        [
            pa.field("where", pa.string()),  # header, meta
            pa.field("name", pa.string()),  # lower-case
            pa.field("value", pa.string()),  # raw
        ]
    )
)
"""The type of a column of signals: an empty list where there are none, never null."""

HEADER_NAMES = ("x-robots-tag", "tdm-reservation", "tdm-policy")
"""The headers that are signals: X-Robots-Tag, and those of TDMRep (W3C Community Group, 2024)."""


_LENGTHS = frozenset(map(len, HEADER_NAMES))  # a quick look at the others


class Signal(TypedDict):
    """One row of `SIGNALS`."""

    where: str
    name: str
    value: str


def signals_of(headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> list[Signal]:
    r"""Return the signals among the headers of a response, in the order of `HEADER_NAMES`.

    Args:
        headers: Names, in lower case or not, and values. A header that was sent several times is
            either several pairs, or one value with the lines joined by `"\n"`.
    """
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    named = [(name.lower(), value) for name, value in pairs if len(name) in _LENGTHS]
    return [
        {"where": "header", "name": wanted, "value": line.strip()}
        for wanted in HEADER_NAMES
        for name, value in named
        if name == wanted
        for line in value.split("\n")
        if line.strip()
    ]
