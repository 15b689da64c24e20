"""Reject what comes from hosts on a list: pages of them, and images on them."""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

import pyarrow as pa

from mella.builders.culture.addresses import resolve_url
from mella.builders.curate.lists import HostRules, Lists, host_rules
from mella.builders.engine.step import REASON, SideReader, Step

READS = pa.schema([pa.field(name, pa.string()) for name in ("page_url", "image_host")])
WRITES = pa.schema([REASON])

_DENIED = "denied:host"


@dataclass(frozen=True)
class HostsParams:
    """Lists of hosts: text files, one entry a line; see `read_hosts`.

    Of all entries that name a host the most specific decides; where both lists hold it, the host is
    denied. So `*` in a list of `deny` leaves just what `allow` names.

    Attributes:
        deny: What is rejected; paths relative to the recipe, or glob patterns.
        allow: What is kept though a less specific entry denies it.
    """

    deny: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()


def _load(lists: Lists, _: SideReader | None) -> HostRules:
    return host_rules(lists)


def hosts_step(lists: Lists) -> Step:
    """Return the step that rejects rows whose page or image is on a denied host.

    The reason is `denied:host`. Without lists all rows pass. That a denied host is not asked for
    anything, whatever redirects to it, is up to the fetcher (`FetchParams.hosts`).

    Args:
        lists: Those that `HostsParams` names.
    """
    return Step(
        name="hosts",
        version=1,
        fn=_mark,
        reads=READS,
        writes=WRITES,
        params=lists,
        setup=_load,
    )


def _mark(table: pa.Table, _: Lists, hosts: HostRules) -> pa.Table:
    columns = (
        [_host(url) for url in table["page_url"].to_pylist()],
        table["image_host"].to_pylist(),
    )
    denied = _denied({host for column in columns for host in column if host}, hosts)
    reasons = [None if denied.isdisjoint(row) else _DENIED for row in zip(*columns, strict=True)]
    return pa.table([pa.array(reasons, pa.string())], schema=WRITES)


def _denied(names: Iterable[str], hosts: HostRules) -> set[str]:
    return {name for name in names if hosts.denies(name)}


def _host(url: str | None) -> str | None:
    resolved = resolve_url("", url)[0] if url else None
    return urlsplit(resolved).hostname if resolved else None
