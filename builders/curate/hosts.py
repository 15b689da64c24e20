"""Reject what comes from hosts on a list: pages of them, and images on them."""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

import pyarrow as pa

from mella.builders.culture.addresses import resolve_url
from mella.builders.curate.lists import ListFiles, host_names, read_hosts
from mella.builders.engine.step import REASON, SideReader, Step

READS = pa.schema([pa.field(name, pa.string()) for name in ("page_url", "domain", "image_host")])
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


@dataclass(frozen=True)
class Hosts:
    """Entries of lists, in lower case and punycode."""

    deny: frozenset[str]
    allow: frozenset[str]

    def denies(self, host: str) -> bool:
        """Whether a host, as URLs of candidates have it, is denied."""
        for name in host_names(host):
            if name in self.deny:
                return True
            if name in self.allow:
                return False
        return False


@dataclass(frozen=True)
class _Keyed:
    """What the lists say: the same entries in other files are the same key."""

    digest: str


@dataclass(frozen=True)
class _Loader:
    """Reads the files, once per process: equal ones are one, which a closure would not be."""

    files: ListFiles

    def __call__(self, _keyed: _Keyed, _side: SideReader | None) -> Hosts:
        return Hosts(read_hosts(self.files.deny), read_hosts(self.files.allow))


def hosts_step(files: ListFiles) -> Step:
    """Return the step that rejects rows whose page, domain or image is on a denied host.

    The reason is `denied:host`. Without files all rows pass.

    Args:
        files: The lists that `HostsParams` names; read once here, for the key of the step, and once
            in each process.

    Raises:
        ListError: A list cannot be read, or a line is no host.
    """
    return Step(
        name="hosts",
        version=1,
        fn=_mark,
        reads=READS,
        writes=WRITES,
        params=_Keyed(files.digest(read_hosts)),
        setup=_Loader(files),
    )


def _mark(table: pa.Table, _: _Keyed, hosts: Hosts) -> pa.Table:
    columns = (
        [_host(url) for url in table["page_url"].to_pylist()],
        table["domain"].to_pylist(),
        table["image_host"].to_pylist(),
    )
    denied = _denied({host for column in columns for host in column if host}, hosts)
    reasons = [None if denied.isdisjoint(row) else _DENIED for row in zip(*columns, strict=True)]
    return pa.table([pa.array(reasons, pa.string())], schema=WRITES)


def _denied(names: Iterable[str], hosts: Hosts) -> set[str]:
    return {name for name in names if hosts.denies(name)}


def _host(url: str | None) -> str | None:
    resolved = resolve_url("", url)[0] if url else None
    return urlsplit(resolved).hostname if resolved else None
