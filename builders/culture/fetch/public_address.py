"""Tell public addresses from those of private networks, and connect to public ones only."""

import ipaddress
import re
import socket
from typing import Any

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")
# Clouds (Oracle, Azure) answer their own machines here; Python counts the first as public in older
# releases, the second in all.
_OF_CLOUDS = (ipaddress.ip_network("192.0.0.0/24"), ipaddress.ip_network("168.63.129.16/32"))
# Browsers and C libraries read such a host as an IPv4 address, however it is spelled.
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?")


class PrivateAddressError(OSError):
    """A connection to an address that is not public."""


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet; one inside an IPv6 address counts."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is None:
            return ip in _UNICAST and ip.is_global
        ip = inner
    inside = ip.is_multicast or ip.is_reserved or any(ip in network for network in _OF_CLOUDS)
    return ip.is_global and not inside


def is_disguised(host: str) -> bool:
    """Whether a host is an IPv4 address spelled otherwise: decimal, octal, shortened.

    Args:
        host: Lower-case ASCII.
    """
    if ":" in host or not _NUMERIC.fullmatch(host):
        return False
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return True
    return False


def public_socket(info: tuple[Any, ...]) -> socket.socket:
    """Make the socket for one connection: the last place where its address is seen.

    Args:
        info: Family, type, protocol, name and address, as `socket.getaddrinfo` returns them.

    Raises:
        PrivateAddressError: The address is not public.
    """
    family, kind, protocol, _, address = info
    if not is_public(address[0]):
        # No address in the message: equal messages of several attempts stay one error.
        raise PrivateAddressError("The address is not public.")
    return socket.socket(family, kind, protocol)
