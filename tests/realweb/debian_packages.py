"""Debian packages as material for tests: downloaded and unpacked into a folder, never installed.

packages = DebianPackages(cache)
packages.unpack("gimp-help-ru")["gimp-help-ru"] / "usr/share/gimp/2.0/help/ru/index.html"
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_RELATIONS = ("suggests", "recommends", "conflicts", "breaks", "replaces", "enhances")


class NoPackagesError(RuntimeError):
    """This machine cannot get Debian packages: it has no apt, or apt has no network."""


@dataclass(frozen=True)
class Program:
    """A program and the folders of its libraries, where they are not those of the machine."""

    path: str
    libraries: str | None = None

    def environment(self) -> dict[str, str]:
        """Return the environment to run it in."""
        extra = {} if self.libraries is None else {"LD_LIBRARY_PATH": self.libraries}
        return {**os.environ, **extra}


@dataclass(frozen=True)
class DebianPackages:
    """Packages of the Debian release that this machine runs.

    Attributes:
        cache: Folder that keeps what was unpacked, from one run to the next.
    """

    cache: Path

    def unpack(self, *names: str) -> dict[str, Path]:
        """Return the folder that each package lies in as it would lie in `/`.

        Raises:
            NoPackagesError: They cannot be had here.
        """
        folders = {name: self.cache / version for name, version in self._versions(names).items()}
        missing = [name for name in names if not folders[name].exists()]
        if missing:
            with tempfile.TemporaryDirectory(dir=self.cache) as downloads:
                self._apt("get", "download", *missing, folder=Path(downloads))
                for name in missing:
                    (archive,) = Path(downloads).glob(f"{name}_*.deb")
                    _extract(archive, folders[name])
        return {name: folders[name] for name in names}

    def program(self, name: str) -> Program:
        """Return a program: the one of the machine, else that of the package of the same name.

        Raises:
            NoPackagesError: There is none here, and it cannot be had.
        """
        installed = shutil.which(name)
        return Program(installed) if installed else self.unpacked_program(name)

    def unpacked_program(self, name: str) -> Program:
        """Return a program out of its unpacked package, with the libraries that it needs.

        Raises:
            NoPackagesError: It cannot be had.
        """
        self._versions([name])  # gets the lists that the next line reads
        without = [f"--no-{relation}" for relation in _RELATIONS]
        listed = self._apt("cache", "depends", "--recurse", *without, name)
        needed = [line for line in listed.splitlines() if re.fullmatch(r"[a-z0-9][\w.+-]+", line)]
        # A second copy of what the machine has would not fit its other libraries.
        missing = {*needed} - _installed() - {name}
        folders = self.unpack(name, *sorted(missing))
        libraries = {str(file.parent) for root in folders.values() for file in root.rglob("*.so.*")}
        return Program(str(folders[name] / "usr/bin" / name), ":".join(sorted(libraries)) or None)

    def _versions(self, names: Sequence[str]) -> dict[str, str]:
        """Return the newest version of each package, as a name for its folder."""
        show = ("cache", "show", "--no-all-versions", *names)
        try:
            shown = self._apt(*show)
        except NoPackagesError:
            # Bare machines have no list of packages; ours lies beside theirs, and needs no root.
            self._apt("get", "update")
            shown = self._apt(*show)
        fields = (r"^Package: (.+)$", r"^Version: (.+)$")
        found, versions = (re.findall(field, shown, re.MULTILINE) for field in fields)
        return {
            name: f"{name}_{version.replace(':', '-')}"
            for name, version in zip(found, versions, strict=True)
        }

    def _apt(self, tool: str, *arguments: str, folder: Path | None = None) -> str:
        lists = self.cache / "lists"
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        options = ["-q", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3"]
        if arguments == ("update",) or any(lists.glob("*Packages*")):
            options += ["-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={self.cache}/apt"]
        try:
            done = subprocess.run(
                [f"apt-{tool}", *options, *arguments],
                cwd=folder or self.cache,
                capture_output=True,
                text=True,
                env={**os.environ, "LC_ALL": "C"},
                check=False,
            )
        except FileNotFoundError as error:
            raise NoPackagesError("There is no apt on this machine.") from error
        if done.returncode:
            raise NoPackagesError(f"apt-{tool} {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout


def _installed() -> set[str]:
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Package}\n"]
    listed = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    return {line.split()[1] for line in listed.splitlines() if line.startswith("installed ")}


def _extract(archive: Path, folder: Path) -> None:
    # Renamed when whole: its existence means complete.
    partial = archive.with_suffix("")
    subprocess.run(["dpkg-deb", "-x", archive, partial], check=True)
    partial.rename(folder)
