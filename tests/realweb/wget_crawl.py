"""Crawl websites into WARC files with GNU wget, as many people make their archives."""

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from debian_packages import Program

_OK = (0, 8)  # 8: some answer was an error, as every site has them


def crawl(
    wget: Program,
    starts: Sequence[str],
    proxy: str,
    warc: Path,
    *,
    seen: Path | None = None,
    max_bytes: int = 500_000_000,
) -> list[Path]:
    """Fetch everything below some pages, and the images that they show.

    Args:
        wget: The program.
        starts: Addresses to start from; nothing above them is followed.
        proxy: Address of the proxy to ask.
        warc: Path of the archives without their endings; several are written, of 20 MB each.
        seen: The list (CDX) of an earlier crawl: what has not changed is archived as a `revisit`.
        max_bytes: Where to stop.

    Returns:
        The archives.

    Raises:
        RuntimeError: wget failed.
    """
    warc.parent.mkdir(parents=True, exist_ok=True)
    command = [
        *(wget.path, "--no-config", "--no-verbose", "--recursive", "--level=20", "--no-parent"),
        *("--page-requisites", "--delete-after", "--wait=0", "--tries=2", "--timeout=30"),
        *(f"--quota={max_bytes}", "--reject-regex=^https:"),
        # Nothing goes round the proxy, which knows no encryption.
        *(f"--execute={name}={proxy}" for name in ("http_proxy", "https_proxy")),
        *(f"--warc-file={warc}", "--warc-max-size=20M", "--warc-cdx"),
        *([] if seen is None else [f"--warc-dedup={seen}"]),
        *starts,
    ]
    environment = {**wget.environment(), "no_proxy": "", "LC_ALL": "C.UTF-8"}
    with tempfile.TemporaryDirectory() as downloads:
        done = subprocess.run(
            command, cwd=downloads, env=environment, capture_output=True, text=True, check=False
        )
    if done.returncode not in _OK:
        last = "\n".join(done.stderr.splitlines()[-20:])
        raise RuntimeError(f"wget ended with code {done.returncode}:\n{last}")
    return sorted(warc.parent.glob(f"{warc.name}*.warc.gz"))
