"""Look up the addresses of host names, and remember them, also that there are none."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aiohttp.abc import AbstractResolver, ResolveResult

Lookup = Callable[[str], Awaitable[Sequence[str]]]
"""Returns the IP addresses of a name, or raises `socket.gaierror`."""

_NAMES_KEPT = 100_000
_ADDRESSES = 8  # of a name; each that does not answer costs time
_PASSING = (socket.EAI_AGAIN, getattr(socket, "EAI_SYSTEM", socket.EAI_AGAIN))


class UnknownNameError(OSError):
    """A name without an address.

    Attributes:
        passing: Whether there may be an answer later.
    """

    def __init__(self, *, passing: bool) -> None:
        super().__init__("The name has no address.")
        self.passing = passing


async def system_lookup(name: str) -> list[str]:
    """Ask the operating system; it does not tell for how long the answer holds."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [str(info[4][0]) for info in found]


@dataclass(frozen=True)
class _Known:
    addresses: tuple[str, ...]  # none: the name has none
    expires: float


class NameCache(AbstractResolver):
    """Resolves names for `aiohttp`.

    It is no guard: whether an address is public is decided where the connection is made.
    """

    def __init__(self, lookup: Lookup, *, ttl_s: float, failure_ttl_s: float) -> None:
        """Remember addresses for `ttl_s`, and that there are none for `failure_ttl_s`."""
        self._lookup = lookup
        self._ttl_s = ttl_s
        self._failure_ttl_s = failure_ttl_s
        self._known: dict[str, _Known] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a name.

        Raises:
            UnknownNameError: It has none.
            UnicodeError: It cannot be a name: a part is empty or too long.
        """
        known = self._known.get(host)
        if known is None or known.expires < time.monotonic():
            known = await self._ask(host)
        found = [_result(host, address, port) for address in known.addresses]
        found = [one for one in found if family in (socket.AF_UNSPEC, one["family"])]
        if not found:
            raise UnknownNameError(passing=False)
        return found

    async def _ask(self, host: str) -> _Known:
        try:
            addresses = tuple(dict.fromkeys(await self._lookup(host)))[:_ADDRESSES]
        except socket.gaierror as error:
            if error.errno in _PASSING:
                raise UnknownNameError(passing=True) from error
            addresses = ()
        keep = self._ttl_s if addresses else self._failure_ttl_s
        known = self._known[host] = _Known(addresses, time.monotonic() + keep)
        if len(self._known) > _NAMES_KEPT:
            del self._known[next(iter(self._known))]
        return known

    async def close(self) -> None:
        """Keep everything for the next session."""


def _result(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=family,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
