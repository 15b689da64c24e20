"""Get the files of a Debian package without installing it."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path


class MissingPackageError(Exception):
    """A Debian package cannot be had on this machine."""


def debian_package(root: Path, name: str) -> Path:
    """Return the folder with the files of a Debian package, downloaded and not installed.

    Raises:
        MissingPackageError: There is no apt here, or it cannot reach its mirror.
    """
    target = root.resolve() / "debian" / name
    if target.exists():
        return target
    downloads = target.with_name("downloads")
    downloads.mkdir(parents=True, exist_ok=True)
    try:
        if _run(["apt-get", "download", name], downloads).returncode:
            _run(["apt-get", "update"], downloads)  # a fresh machine has no lists yet
            _run(["apt-get", "download", name], downloads).check_returncode()
        archive = next(downloads.glob(f"{name}_*.deb"))
        partial = target.with_name(f"{name}.part")
        shutil.rmtree(partial, ignore_errors=True)
        _run(["dpkg", "-x", str(archive), str(partial)], downloads).check_returncode()
    except (OSError, StopIteration, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or error
        raise MissingPackageError(f"The Debian package {name} cannot be had: {reason}") from error
    partial.rename(target)
    archive.unlink()
    return target


def _run(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
