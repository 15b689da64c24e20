"""What the local Hub of `hub_server` stores, as git and LFS do, and who may read and write it."""

import base64
import hashlib
import re
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote


class HubError(Exception):
    """An answer that is not a success, with the `X-Error-Code` the clients tell errors apart by."""

    def __init__(
        self, status: int, message: str, code: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        ascii_message = message.encode("ascii", "backslashreplace").decode()
        named = {"X-Error-Code": code} if code else {}
        self.headers = {"X-Error-Message": ascii_message, **named, **(headers or {})}


@dataclass(frozen=True)
class Blob:
    """The content of one file, kept as a git blob or, when large, behind an LFS pointer."""

    content: bytes
    lfs: bool

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        spec = "https://git-lfs.github.com/spec/v1"
        return f"version {spec}\noid sha256:{self.sha256}\nsize {len(self.content)}\n".encode()

    @cached_property
    def oid(self) -> str:
        """The id git gives the blob: that of the pointer for a large file."""
        stored = self.pointer if self.lfs else self.content
        return hashlib.sha1(b"blob %d\0%s" % (len(stored), stored)).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid


@dataclass(frozen=True)
class Commit:
    """An immutable snapshot of all files. Its id depends on what it holds, not on the clock."""

    files: Mapping[str, Blob]
    parent: "Commit | None"
    title: str
    description: str = ""
    date: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.000Z}")

    @cached_property
    def id(self) -> str:
        parent = self.parent.id if self.parent else ""
        holds = repr((parent, self.title, self.description, self.tree("")))
        return hashlib.sha1(holds.encode()).hexdigest()

    def history(self) -> Iterator["Commit"]:
        """This commit and all before it, newest first."""
        commit: Commit | None = self
        while commit:
            yield commit
            commit = commit.parent

    def tree(self, folder: str) -> list[tuple[str, str]]:
        """The (path, oid) of every file in a folder, or of the file that has this path."""
        files = ((path, blob.oid) for path, blob in self.files.items())
        return sorted(
            file for file in files if f"{file[0]}/".startswith(f"{folder}/" * bool(folder))
        )

    def listing(self, folder: str, *, recursive: bool) -> list[str]:
        """The paths of the files and folders in a folder, the root being ''."""
        if folder and (folder in self.files or not self.tree(folder)):
            message = f"{folder} is no folder at {self.id}"
            raise HubError(404, message, "EntryNotFound", {"X-Repo-Commit": self.id})
        depth = folder.count("/") + 2 if folder else 1
        found: set[str] = set()
        for path, _ in self.tree(folder):
            parts = path.split("/")
            last = len(parts) if recursive else depth
            found.update("/".join(parts[:n]) for n in range(depth, last + 1))
        return sorted(found)

    def describe(self, path: str, *, expand: bool = False) -> dict[str, Any]:
        """What the Hub says of a file or folder; with `expand`, the commit that last changed it."""
        tree = self.tree(path)
        if blob := self.files.get(path):
            size = len(blob.content)
            entry = {"type": "file", "path": path, "size": size, "oid": blob.oid}
            if blob.lfs:
                pointer = len(blob.pointer)
                entry["lfs"] = {"oid": blob.sha256, "size": size, "pointerSize": pointer}
        else:
            oid = hashlib.sha1(repr(tree).encode()).hexdigest()
            entry = {"type": "directory", "path": path, "size": 0, "oid": oid}
        if expand:
            past = (c for c in self.history() if c.parent is None or c.parent.tree(path) != tree)
            last = next(past)
            entry["lastCommit"] = {"id": last.id, "title": last.title, "date": last.date}
        return entry


@dataclass
class Repo:
    """A data set repository: branches move, and every commit stays readable by its id."""

    id: str
    private: bool
    gated: bool
    branches: dict[str, Commit] = field(default_factory=dict)
    tags: dict[str, Commit] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)

    def at(self, revision: str) -> Commit:
        """The commit that a branch, tag, full ref or commit id names."""
        name = re.sub("^refs/(heads|tags)/", "", revision)
        for names in (self.branches, self.tags, self.commits):
            if name in names:
                return names[name]
        raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def push(self, branch: str, commit: Commit) -> Commit:
        """Add a commit and move a branch to it."""
        self.branches[branch] = self.commits[commit.id] = commit
        return commit

    def apply(
        self,
        branch: str,
        header: Mapping[str, str],
        changes: Sequence[Any],
        lfs: Mapping[str, bytes],
    ) -> Commit:
        """Commit the operations of a client to a branch, all of them or none."""
        if branch not in self.branches:
            raise HubError(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        head = self.branches[branch]
        if header.get("parentCommit", head.id) != head.id:
            raise HubError(412, "A commit has happened since. Please refresh and try again.")
        files = dict(head.files)
        for change in changes:
            kind, value, path = change["key"], change["value"], change["value"]["path"].rstrip("/")
            if kind == "file":
                files[path] = Blob(base64.b64decode(value["content"], validate=True), lfs=False)
            elif kind == "lfsFile" and value["oid"] in lfs:
                files[path] = Blob(lfs[value["oid"]], lfs=True)
            elif kind == "deletedFile" and path in files:
                del files[path]
            elif kind == "deletedFolder" and any(name.startswith(f"{path}/") for name in files):
                kept = (name for name in files if not name.startswith(f"{path}/"))
                files = {name: files[name] for name in kept}
            elif kind in {"deletedFile", "deletedFolder"}:
                raise HubError(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
            else:
                raise HubError(400, f"Cannot do {kind} to {path}: unknown or not uploaded")
        commit = Commit(files, head, header["summary"], header.get("description", ""))
        return self.push(branch, commit)


class Hub:
    """Repositories, the storage of large files, and two users."""

    token = "hf_owner"
    """Reads and writes every repository."""
    reader_token = "hf_reader"
    """A valid user without rights: neither writes nor opens what is private or gated."""

    endpoint: str
    storage: str
    """Where large files are served: for a client, another host."""

    def __init__(self, *, lfs_threshold: int = 1024, redirect_lfs: bool = True) -> None:
        """Prepare an empty Hub.

        Args:
            lfs_threshold: Size in bytes from which a file is stored through LFS.
            redirect_lfs: Serve LFS files from another host, as the Hub does; else directly.
        """
        self.lfs_threshold = lfs_threshold
        self.redirect_lfs = redirect_lfs
        self.repos: dict[str, Repo] = {}
        self.lfs: dict[str, bytes] = {}
        self.lock = threading.RLock()
        self._secret = secrets.token_hex(8)

    def add_repo(
        self,
        repo_id: str,
        files: Mapping[str, bytes] | Path,
        *,
        private: bool = False,
        gated: bool = False,
    ) -> str:
        """Add a repository with the files of a mapping or folder; return its first commit id."""
        with self.lock:
            self.repos[repo_id] = Repo(repo_id, private, gated)
            return self.commit(repo_id, files, title="initial commit")

    def commit(self, repo_id: str, files: Mapping[str, bytes] | Path, *, title: str = "new") -> str:
        """Add or replace files on `main`; return the commit id."""
        if isinstance(files, Path):
            found = [path for path in files.rglob("*") if path.is_file()]
            files = {path.relative_to(files).as_posix(): path.read_bytes() for path in found}
        added = {path: Blob(data, len(data) >= self.lfs_threshold) for path, data in files.items()}
        with self.lock:
            self.lfs |= {blob.sha256: blob.content for blob in added.values() if blob.lfs}
            repo = self.repos[repo_id]
            head = repo.branches.get("main")
            before = head.files if head else {}
            return repo.push("main", Commit({**before, **added}, head, title)).id

    def files(self, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        """The content of every file at a revision."""
        commit = self.repos[repo_id].at(revision)
        return {path: blob.content for path, blob in commit.files.items()}

    def user(self, authorization: str | None) -> str | None:
        """The token of an Authorization header, or None for an anonymous request."""
        token = None if authorization is None else authorization.removeprefix("Bearer ")
        if token not in {None, self.token, self.reader_token}:
            raise HubError(401, "Invalid credentials in Authorization header")
        return token

    def open(
        self, repo_id: str, token: str | None, *, write: bool = False, content: bool = False
    ) -> Repo:
        """The repository, if the user may see it and, as asked, write to it or open its files."""
        repo = self.repos.get(repo_id)
        if repo is None or (repo.private and token != self.token):
            raise HubError(404 if token else 401, "Repository not found", "RepoNotFound")
        if write and token != self.token:
            raise HubError(403 if token else 401, f"You may not write to {repo_id}")
        if content and repo.gated and token != self.token:
            raise HubError(403 if token else 401, f"Access to {repo_id} is restricted", "GatedRepo")
        return repo

    def signed(self, sha256: str, name: str = "") -> str:
        """A URL of the large file storage, handed to those who may read or write the object."""
        signature = hashlib.sha256(f"{self._secret}{sha256}".encode()).hexdigest()[:16]
        return f"{self.storage}/{sha256}{quote(name)}?signature={signature}"
