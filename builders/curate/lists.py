"""Read lists of hosts and of image hashes: one entry a line, `#` before a remark."""

import hashlib
import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import idna

from mella.builders.engine.step import UNKEYED
from mella.errors import MellaError

EVERY_HOST = "*"
"""The entry that stands for all hosts."""

_ASCII_HOST = re.compile(r"(?:\*\.)?(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}")
_HASH = re.compile(r"[0-9a-f]{64}|[0-9a-f]{16}")


class ListError(MellaError, ValueError):
    """A list that cannot be read, or a line in it that is no entry."""


Files = tuple[Path, ...]


@dataclass(frozen=True)
class Lists:
    """Lists as a parameter of a step: the same entries in other files are the same key.

    Attributes:
        digest: Of the entries, wherever they lie and whatever they remark; "" where there are none.
        deny: Files with what is rejected.
        allow: Files with what is kept though it is denied.
    """

    digest: str = ""
    deny: Files = field(default=(), metadata=UNKEYED)
    allow: Files = field(default=(), metadata=UNKEYED)


def host_lists(deny: Files, allow: Files) -> Lists:
    """Read lists of hosts for their digest; see `read_hosts`, also for what is raised."""
    return _lists(read_hosts, deny, allow)


def hash_lists(deny: Files, allow: Files) -> Lists:
    """Read lists of hashes for their digest; see `read_hashes`, also for what is raised."""
    return _lists(read_hashes, deny, allow)


def _lists(read: Callable[[Files], frozenset[str]], deny: Files, allow: Files) -> Lists:
    if not (deny or allow):
        return Lists()
    whole = hashlib.sha256()
    for files in (deny, allow):
        for entry in sorted(read(files)):
            whole.update(f"{entry}\n".encode())
        whole.update(b"\n")
    return Lists(whole.hexdigest(), deny, allow)


@dataclass(frozen=True)
class HostRules:
    """Entries of lists, in lower case and punycode."""

    deny: frozenset[str] = frozenset()
    allow: frozenset[str] = frozenset()

    def denies(self, host: str) -> bool:
        """Whether a host, as URLs of candidates have it, is denied.

        Of all entries that name it the most specific decides; where both lists hold that one, the
        host is denied.
        """
        if not self.deny:
            return False
        for name in host_names(host):
            if name in self.deny:
                return True
            if name in self.allow:
                return False
        return False


def host_rules(lists: Lists) -> HostRules:
    """Return what lists of hosts say; see `read_hosts`, also for what is raised."""
    return HostRules(read_hosts(lists.deny), read_hosts(lists.allow))


def read_hosts(files: Iterable[Path]) -> frozenset[str]:
    """Return the entries of lists of hosts, in lower case and punycode.

    An entry is a host, which stands for its subdomains too (`example.org`); `*.example.org` for the
    subdomains alone; a top-level domain (`xxx`); an IP address; or `*` for every host.

    Raises:
        ListError: A file is not UTF-8 or not there, or a line is no host; the message names both.
    """
    return frozenset(_read(files, _host, "a host such as example.org or *.example.org"))


def read_hashes(files: Iterable[Path]) -> frozenset[str]:
    """Return the entries of lists of hashes, in lower case.

    An entry is a SHA-256 (64 hex digits), or a perceptual hash (16) of `perceptual_hash`: others,
    also of 64 bits, do not compare with it.

    Raises:
        ListError: A file is not UTF-8 or not there, or a line is no hash; the message names both.
    """
    kinds = "a SHA-256 (64 hex digits) or a perceptual hash of mella (16)"
    return frozenset(_read(files, _hash, kinds))


def host_names(host: str) -> Iterator[str]:
    """Yield the entries that a host can be named by, the most specific first.

    Args:
        host: In lower case and punycode, as URLs of candidates have it.
    """
    address = _address(host)
    yield address or host
    name = host
    while "." in name and address is None:
        name = name.partition(".")[2]
        yield f"*.{name}"
        yield name
    yield EVERY_HOST


def _read(files: Iterable[Path], parse: Callable[[str], str | None], allowed: str) -> Iterator[str]:
    for path in files:
        try:
            lines = path.read_text("utf-8-sig").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ListError(f"{path} is no list in UTF-8: {error}.") from error
        for number, line in enumerate(lines, 1):
            bare = line.partition("#")[0].strip()
            if not bare:
                continue
            entry = parse(bare)
            if entry is None:
                raise ListError(
                    f"{path}, line {number}: {bare[:100]!r} is not {allowed}. Write one on each "
                    "line; what follows a # is a remark."
                )
            yield entry


def _host(text: str) -> str | None:
    if text == EVERY_HOST:
        return text
    wild, bare = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    bare = bare.removesuffix(".").lower()
    if not bare.isascii():
        try:
            bare = idna.encode(bare, uts46=True, transitional=False).decode("ascii")
        except idna.IDNAError:
            return None
    if address := _address(bare):
        return None if wild else address
    found = wild + bare
    return found if _ASCII_HOST.fullmatch(found) else None


def _hash(text: str) -> str | None:
    lower = text.lower()
    return lower if _HASH.fullmatch(lower) else None


def _address(host: str) -> str | None:
    """Return an IP address as it is written in short, or None where the host is a name."""
    if not (host[-1:].isdigit() or ":" in host):  # most hosts: a top-level domain is no number
        return None
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return None
