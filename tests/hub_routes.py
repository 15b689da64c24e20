"""What the local Hub of `hub_server` answers: one function a route, and the table of routes."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from hub_repo import Hub, HubError, Repo


@dataclass(frozen=True)
class Call:
    """A request, with the named parts of its path, for a route to answer."""

    method: str
    headers: Message
    query: Mapping[str, list[str]]
    body: bytes
    parts: Mapping[str, str]

    @property
    def authorization(self) -> str | None:
        return self.headers.get("Authorization")

    def flag(self, name: str) -> bool:
        return self.query.get(name, [""])[0].lower() in {"true", "1"}

    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.body)
        return value


@dataclass(frozen=True)
class Reply:
    """An answer; its length is added when it is sent."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def json_reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    headers = {"Content-Type": "application/json; charset=utf-8", **(headers or {})}
    return Reply(status, json.dumps(value).encode(), headers)


def _repo(hub: Hub, call: Call, *, write: bool = False, content: bool = False) -> Repo:
    user = hub.user(call.authorization)
    return hub.open(call.parts["repo"], user, write=write, content=content)


def _file(call: Call, content: bytes, headers: Mapping[str, str]) -> Reply:
    """A file, or the range of it that is asked for; several ranges at once get the whole."""
    headers = {**headers, "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", call.headers.get("Range", ""))
    if asked is None or not any(asked.groups()):
        return Reply(200, content, headers)
    first, last = asked.groups()
    size = len(content)
    start = int(first) if first else max(size - int(last), 0)
    end = min(int(last) + 1, size) if first and last else size
    if start >= end:
        raise HubError(416, "Range Not Satisfiable", "", {"Content-Range": f"bytes */{size}"})
    span = f"bytes {start}-{end - 1}/{size}"
    return Reply(206, content[start:end], {**headers, "Content-Range": span})


def _whoami(hub: Hub, call: Call) -> Reply:
    token = hub.user(call.authorization)
    if token is None:
        raise HubError(401, "Invalid username or password.")
    access = {"displayName": token, "role": "write" if token == hub.token else "read"}
    auth = {"type": "access_token", "accessToken": access}
    return json_reply({"type": "user", "name": token, "orgs": [], "auth": auth})


def _harnesses(hub: Hub, call: Call) -> Reply:
    """The client asks for these once a day and keeps them in HF_HOME: say that there are none."""
    return json_reply({"standardEnvVars": [], "harnesses": {}})


def _validate_yaml(hub: Hub, call: Call) -> Reply:
    missing = {"message": "empty or missing yaml metadata in repo card"}
    warnings = [] if call.json()["content"].startswith("---") else [missing]
    return json_reply({"errors": [], "warnings": warnings})


def _create_repo(hub: Hub, call: Call) -> Reply:
    wish, token = call.json(), hub.user(call.authorization)
    if token != hub.token:
        raise HubError(403 if token else 401, "You may not create repositories")
    if wish.get("type") != "dataset":
        raise HubError(501, "This server has data set repositories only")
    repo_id = f"{wish.get('organization') or token}/{wish['name']}"
    about = {"url": f"{hub.endpoint}/datasets/{repo_id}", "name": repo_id}
    if repo_id in hub.repos:
        return json_reply({"error": "You already created this dataset repo", **about}, 409)
    private = bool(wish.get("private")) or wish.get("visibility") == "private"
    hub.add_repo(repo_id, {".gitattributes": b"*.tar filter=lfs -text\n"}, private=private)
    return json_reply(about)


def _repo_info(hub: Hub, call: Call) -> Reply:
    repo = _repo(hub, call)
    commit = repo.at(call.parts.get("rev", "main"))
    siblings: list[dict[str, Any]] = [{"rfilename": path} for path in sorted(commit.files)]
    for sibling in siblings if call.flag("blobs") else ():
        entry = commit.describe(sibling["rfilename"])
        sibling |= {"size": entry["size"], "blobId": entry["oid"]}
        if lfs := entry.get("lfs"):
            sibling["lfs"] = {**lfs, "sha256": lfs["oid"]}
    first = list(commit.history())[-1]
    about = {"id": repo.id, "author": repo.id.split("/")[0], "sha": commit.id}
    state = {"private": repo.private, "gated": "auto" if repo.gated else False, "disabled": False}
    dates = {"createdAt": first.date, "lastModified": commit.date}
    counts = {"downloads": 0, "likes": 0, "tags": []}
    return json_reply({**about, **state, **dates, **counts, "siblings": siblings})


def _tree(hub: Hub, call: Call) -> Reply:
    commit = _repo(hub, call).at(call.parts["rev"])
    paths = commit.listing(call.parts.get("path", ""), recursive=call.flag("recursive"))
    return json_reply([commit.describe(path, expand=call.flag("expand")) for path in paths])


def _paths_info(hub: Hub, call: Call) -> Reply:
    commit = _repo(hub, call).at(call.parts["rev"])
    form = parse_qs(call.body.decode())
    expand = form.get("expand") == ["true"]
    known = [path for path in form.get("paths", []) if commit.tree(path)]
    return json_reply([commit.describe(path, expand=expand) for path in known])


def _commits(hub: Hub, call: Call) -> Reply:
    history = _repo(hub, call).at(call.parts["rev"]).history()
    by = {"authors": [{"user": hub.token}]}
    return json_reply(
        [
            {"id": c.id, "title": c.title, "message": c.description, "date": c.date, **by}
            for c in history
        ]
    )


def _refs(hub: Hub, call: Call) -> Reply:
    repo = _repo(hub, call)
    kinds = {"branches": ("heads", repo.branches), "tags": ("tags", repo.tags)}
    refs = {
        kind: [
            {"name": name, "ref": f"refs/{folder}/{name}", "targetCommit": commit.id}
            for name, commit in names.items()
        ]
        for kind, (folder, names) in kinds.items()
    }
    return json_reply({**refs, "converts": [], "pullRequests": []})


def _create_ref(hub: Hub, call: Call) -> Reply:
    """A tag's path names the revision and its body the tag; a branch's the other way round."""
    repo, wish, rev = _repo(hub, call, write=True), call.json(), call.parts["rev"]
    if call.parts["kind"] == "tag":
        names, name, revision = repo.tags, wish["tag"], rev
    else:
        names, name, revision = repo.branches, rev, wish.get("startingPoint", "main")
    if name in names:
        raise HubError(409, f"Reference {name} already exists")
    names[name] = repo.at(revision)
    return json_reply({})


def _preupload(hub: Hub, call: Call) -> Reply:
    known = _repo(hub, call, write=True).at(call.parts["rev"]).files
    files = []
    for file in call.json()["files"]:
        path, mode = file["path"], "lfs" if file["size"] >= hub.lfs_threshold else "regular"
        files.append({"path": path, "uploadMode": mode, "shouldIgnore": False})
        if path in known:
            files[-1]["oid"] = known[path].etag
    return json_reply({"files": files})


def _lfs_batch(hub: Hub, call: Call) -> Reply:
    repo = _repo(hub, call, write=True)
    verify = {"href": f"{hub.endpoint}/datasets/{repo.id}.git/info/lfs/objects/verify"}
    objects = []
    for wish in call.json()["objects"]:
        objects.append({"oid": wish["oid"], "size": wish["size"]})
        if wish["oid"] not in hub.lfs:
            upload = {"href": hub.signed(wish["oid"])}
            objects[-1]["actions"] = {"upload": upload, "verify": verify}
    return json_reply({"transfer": "basic", "objects": objects})


def _lfs_verify(hub: Hub, call: Call) -> Reply:
    _repo(hub, call, write=True)
    wish = call.json()
    if wish["oid"] not in hub.lfs or len(hub.lfs[wish["oid"]]) != wish["size"]:
        raise HubError(404, f"No object {wish['oid']} of {wish['size']} bytes")
    return json_reply({})


def _storage(hub: Hub, call: Call) -> Reply:
    sha256 = call.parts["sha256"]
    if call.query.get("signature") != parse_qs(urlsplit(hub.signed(sha256)).query)["signature"]:
        raise HubError(403, "The signature does not match")
    if call.authorization:
        raise HubError(400, "Only one auth mechanism allowed")
    if call.method != "PUT":
        return _file(call, hub.lfs[sha256], {"ETag": f'"{sha256}"'})
    if hashlib.sha256(call.body).hexdigest() != sha256:
        raise HubError(400, "The body does not have the announced SHA-256")
    hub.lfs[sha256] = call.body
    return Reply(200, b"")


def _commit(hub: Hub, call: Call) -> Reply:
    repo = _repo(hub, call, write=True)
    if call.flag("create_pr"):
        raise HubError(501, "This server has no pull requests")
    header, *changes = [json.loads(line) for line in call.body.splitlines()]
    commit = repo.apply(call.parts["rev"], header["value"], changes, hub.lfs).id
    url = f"{hub.endpoint}/datasets/{repo.id}/commit/{commit}"
    return json_reply({"success": True, "commitOid": commit, "commitUrl": url, "hookOutput": ""})


def _resolve(hub: Hub, call: Call) -> Reply:
    commit, path = _repo(hub, call, content=True).at(call.parts["rev"]), call.parts["path"]
    headers = {"X-Repo-Commit": commit.id}
    blob = commit.files.get(path)
    if blob is None:
        raise HubError(404, f"{path} does not exist at {commit.id}", "EntryNotFound", headers)
    headers["ETag"] = f'"{blob.etag}"'
    if blob.lfs:
        headers |= {"X-Linked-Size": str(len(blob.content)), "X-Linked-ETag": headers["ETag"]}
    if not (blob.lfs and hub.redirect_lfs):
        return _file(call, blob.content, headers)
    location = hub.signed(blob.sha256, f"/{path.rpartition('/')[2]}")
    return Reply(302, b"Found", {**headers, "Location": location})


_PARTS = {"{repo}": "(?P<repo>[^/]+/[^/]+)", "{rev}": "(?P<rev>[^/]+)", "{path}": "(?P<path>.+)"}


def _route(
    methods: str, path: str, answer: Callable[[Hub, Call], Reply]
) -> tuple[set[str], re.Pattern[str], Callable[[Hub, Call], Reply]]:
    for part, pattern in _PARTS.items():
        path = path.replace(part, pattern)
    return set(methods.split()), re.compile(path), answer


_ROUTES = (
    _route("GET", "/api/whoami-v2", _whoami),
    _route("GET", "/api/agent-harnesses", _harnesses),
    _route("POST", "/api/validate-yaml", _validate_yaml),
    _route("POST", "/api/repos/create", _create_repo),
    _route("GET", "/api/datasets/{repo}(?:/revision/{rev})?", _repo_info),
    _route("GET", "/api/datasets/{repo}/tree/{rev}(?:/{path})?", _tree),
    _route("POST", "/api/datasets/{repo}/paths-info/{rev}", _paths_info),
    _route("GET", "/api/datasets/{repo}/commits/{rev}", _commits),
    _route("GET", "/api/datasets/{repo}/refs", _refs),
    _route("POST", "/api/datasets/{repo}/(?P<kind>tag|branch)/{rev}", _create_ref),
    _route("POST", "/api/datasets/{repo}/preupload/{rev}", _preupload),
    _route("POST", "/api/datasets/{repo}/commit/{rev}", _commit),
    _route("POST", r"/datasets/{repo}\.git/info/lfs/objects/batch", _lfs_batch),
    _route("POST", r"/datasets/{repo}\.git/info/lfs/objects/verify", _lfs_verify),
    _route("HEAD GET", "/datasets/{repo}/resolve/{rev}/{path}", _resolve),
    _route("HEAD GET PUT", "/lfs/(?P<sha256>[0-9a-f]{64})(?:/[^/]+)?", _storage),
)


def respond(hub: Hub, method: str, target: str, headers: Message, body: bytes) -> Reply:
    """Do what a request asks.

    Raises:
        HubError: It cannot be done, or this server does not know it (501).
    """
    url = urlsplit(target)
    for methods, pattern, answer in _ROUTES:
        found = pattern.fullmatch(url.path)
        if found and method in methods:
            parts = {name: unquote(part) for name, part in found.groupdict().items() if part}
            with hub.lock:
                return answer(hub, Call(method, headers, parse_qs(url.query), body, parts))
    raise HubError(501, f"This server does not know {method} {url.path}")
