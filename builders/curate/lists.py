"""Read lists of hosts and of image hashes: one entry a line, `#` before a remark."""

import hashlib
import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import idna

from mella.errors import MellaError

EVERY_HOST = "*"
"""The entry that stands for all hosts."""

_ASCII_HOST = re.compile(r"(?:\*\.)?(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}")
_HASH = re.compile(r"[0-9a-f]{64}|[0-9a-f]{16}")


class ListError(MellaError, ValueError):
    """A list that cannot be read, or a line in it that is no entry."""


@dataclass(frozen=True)
class ListFiles:
    """Files with lists.

    Attributes:
        deny: What is rejected.
        allow: What is kept though it is denied.
    """

    deny: tuple[Path, ...] = ()
    allow: tuple[Path, ...] = ()

    def digest(self, read: Callable[[Iterable[Path]], frozenset[str]]) -> str:
        """Return a hash of what the lists say, wherever they lie and whatever they remark.

        Raises:
            ListError: A list cannot be read.
        """
        whole = hashlib.sha256()
        for files in (self.deny, self.allow):
            for entry in sorted(read(files)):
                whole.update(f"{entry}\n".encode())
            whole.update(b"\n")
        return whole.hexdigest()


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


@dataclass(frozen=True)
class HostLists:
    """Lists of hosts as a parameter: the same entries in other files are the same key.

    Attributes:
        digest: Of the entries; "" where there are none.
        files: That hold them.
    """

    digest: str = ""
    files: ListFiles = field(default_factory=ListFiles, metadata={"keyed": False})

    @classmethod
    def of(cls, files: ListFiles) -> Self:
        """Read the files for their digest.

        Raises:
            ListError: A list cannot be read, or a line is no host.
        """
        return cls(files.digest(read_hosts) if files.deny or files.allow else "", files)

    def load(self) -> HostRules:
        """Return what the files say.

        Raises:
            ListError: As in `of`.
        """
        return HostRules(read_hosts(self.files.deny), read_hosts(self.files.allow))


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
