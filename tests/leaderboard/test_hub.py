"""Folders to the Hub and back, by the Hub's own client, and a server on loopback that keeps files as it does."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from pabench.errors import DataError, MissingError, RefusedError
from pabench.leaderboard import hub
from pabench.leaderboard.bank import open_banks
from pabench.leaderboard.hub import SUMS, contents, pull, push
from pabench.store.store import Store

REPO = "somebody/small"


class Hub(BaseHTTPRequestHandler):
    """Masks go by LFS, all else inside the commit. `server.repos`: files by repository, `server.private` likewise."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            repo = f"{asked['type']}s/{asked['organization']}/{asked['name']}"
            self.server.repos.setdefault(repo, {})
            private = asked.get("visibility") == "private" or asked.get("private", False)  # clients differ
            self.server.private.setdefault(repo, private)
            self._json({"url": f"{self.server.url}/{repo}"})
        elif self.path.endswith("/preupload/main"):
            names = [file["path"] for file in json.loads(body)["files"]]
            modes = {name: "lfs" if name.endswith(".safetensors") else "regular" for name in names}
            self._json({"files": [{"path": n, "uploadMode": m, "shouldIgnore": False} for n, m in modes.items()]})
        elif self.path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            actions = {o["oid"]: {"upload": {"href": f"{self.server.url}/lfs/{o['oid']}"}} for o in objects}
            self._json({"transfer": "basic", "objects": [{**o, "actions": actions[o["oid"]]} for o in objects]})
        elif self.path.endswith("/commit/main"):
            name = self.path.removeprefix("/api/").removesuffix("/commit/main")
            repo = self.server.repos[name]
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    repo[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    repo[value["path"]] = self.server.objects[value["oid"]]
            self.server.commits += 1
            self._json({"commitUrl": f"{self.server.url}/{name}/commit/{'0' * 40}", "commitOid": "0" * 40})
        else:  # /api/validate-yaml
            self._json({"errors": [], "warnings": []})

    def do_PUT(self):
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.objects[hashlib.sha256(data).hexdigest()] = data
        self._json({})

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        if match := re.fullmatch(r"/(\w+/\w+/\w+)/resolve/0{40}/(.+)", self.path):
            data = self.server.repos[match[1]].get(match[2])
            if data is None:
                self._missing("EntryNotFound")
                return
            etag = hashlib.sha256(data).hexdigest()
            self._send(data, {"ETag": f'"{etag}"', "X-Repo-Commit": "0" * 40})
            return
        repo = self.path.removeprefix("/api/")
        if repo in self.server.repos:
            self._json({"id": repo.partition("/")[2], "sha": "0" * 40, "siblings": []})
        else:
            self._missing("RepoNotFound")

    def _missing(self, what):
        self._send(b"", {"X-Error-Code": what, "X-Error-Message": "not found"}, 404)

    def _json(self, data):
        self._send(json.dumps(data).encode(), {"Content-Type": "application/json"})

    def _send(self, data, headers, code=200):
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as found:
        found.repos, found.private, found.objects, found.commits = {}, {}, {}, 0
        found.url = f"http://127.0.0.1:{found.server_port}"
        monkeypatch.setenv("HF_ENDPOINT", found.url)
        monkeypatch.setenv("HF_TOKEN", "hf_nobody")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)  # another protocol for large files
        thread = Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def files(folder) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_results_folder_comes_back_as_it_was_without_logs(server, results, tmp_path):
    """All that a bank and a report need; the list is one that `sha256sum` reads."""
    folder = shutil.copytree(results, tmp_path / "small")
    (folder / "logs").mkdir(exist_ok=True)
    (folder / "logs" / "x.log").write_text("of this machine")
    (folder / "records" / ".tmp-1").write_text("half a record")

    sent = push(folder, REPO)
    got = pull(REPO, tmp_path / "pulled")

    kept = {name: data for name, data in files(folder).items() if name in contents(folder)[1]}
    assert files(tmp_path / "pulled") == kept
    assert {name.partition("/")[0] for name in kept} == {
        *("study.json", "report.html", "records", "receipts", "checks", "metrics", "masks")
    }
    assert len(Store(tmp_path / "pulled").records()) == 14
    assert open_banks([tmp_path / "pulled"])[0].name == "small"
    assert (sent.files, sent.bytes) == (len(kept), sum(map(len, kept.values())))
    assert (got.files, got.new, got.bytes) == (len(kept), len(kept), sent.bytes)
    assert server.private == {f"datasets/{REPO}": True}
    for name, data in server.repos[f"datasets/{REPO}"].items():
        (tmp_path / "hub" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "hub" / name).write_bytes(data)
    subprocess.run(["sha256sum", "-c", "--strict", "--quiet", SUMS], cwd=tmp_path / "hub", check=True)


def test_a_submission_is_sent_with_its_sources(server, submission, tmp_path):
    push(submission, REPO, public=True)
    pull(REPO, tmp_path / "pulled")

    assert files(tmp_path / "pulled") == files(submission)
    assert any(name.startswith("criteria/steep") for name in files(tmp_path / "pulled"))
    assert server.private == {f"datasets/{REPO}": False}


def test_a_site_is_a_static_space(server, tmp_path):
    site = tmp_path / "site"
    (site / "data" / "v1").mkdir(parents=True)
    (site / "index.html").write_text("<!doctype html>")
    (site / "data" / "v1" / "manifest.json").write_text(json.dumps({"schema": 1, "files": {"index.html": "0" * 64}}))
    (site / "README.md").write_text("---\nsdk: static\n---\n")
    (site / "notes.txt").write_text("mine")

    assert push(site, "somebody/board").repo == "spaces/somebody/board"
    pull("spaces/somebody/board", tmp_path / "pulled")

    assert sorted(files(tmp_path / "pulled")) == ["README.md", "data/v1/manifest.json", "index.html"]


def test_pulling_again_writes_what_is_new_and_nothing_else(server, results, tmp_path):
    push(results, REPO)
    pull(REPO, tmp_path / "pulled")
    record = next((tmp_path / "pulled" / "records").iterdir())
    record.unlink()
    page = tmp_path / "pulled" / "report.html"
    before = page.stat().st_mtime_ns

    assert pull(REPO, tmp_path / "pulled").new == 1

    assert record.is_file()
    assert page.stat().st_mtime_ns == before


def test_nothing_is_overwritten_and_then_nothing_is_written(server, results, tmp_path):
    push(results, REPO)
    (tmp_path / "pulled").mkdir()
    (tmp_path / "pulled" / "report.html").write_text("my own")

    with pytest.raises(RefusedError, match=r"report\.html: is there, and another"):
        pull(REPO, tmp_path / "pulled")

    assert files(tmp_path / "pulled") == {"report.html": b"my own"}


def test_a_file_that_is_not_what_its_sum_says_is_refused_and_nothing_is_written(server, results, tmp_path):
    push(results, REPO)
    kept = server.repos[f"datasets/{REPO}"]
    name = next(name for name in kept if name.startswith("records/"))
    kept[name] = kept[name].replace(b'"status":"ok"', b'"status":"no"')

    with pytest.raises(DataError, match=f"{REPO}: {name}: .* do not match their SHA-256; nothing was written"):
        pull(REPO, tmp_path / "pulled")

    assert list(tmp_path.glob("*pull*")) == []


def test_what_was_not_sent_to_its_end_is_refused(server, results, tmp_path, monkeypatch):
    """The list comes last, after commits of some files each."""
    monkeypatch.setattr(hub, "EACH", 20)
    push(results, REPO)
    assert server.commits == -(-len(contents(results)[1]) // 20) + 1
    del server.repos[f"datasets/{REPO}"][SUMS]

    with pytest.raises(DataError, match="no SHA256SUMS: not sent by `pabench push`, or not to its end"):
        pull(REPO, tmp_path / "pulled")


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "a/../../outside", ".git/config"])
def test_no_name_leads_out_of_the_folder(name, server, results, tmp_path):
    push(results, REPO)
    server.repos[f"datasets/{REPO}"] |= {name: b"x", SUMS: f"{hashlib.sha256(b'x').hexdigest()}  {name}\n".encode()}

    with pytest.raises(DataError, match="is no SHA-256 and file"):
        pull(REPO, tmp_path / "pulled")

    assert not list(tmp_path.rglob("outside"))


def test_what_is_not_there_is_said_in_one_line(server, tmp_path):
    with pytest.raises(MissingError, match=r"^Hugging Face Hub: [^\n]*Repository Not Found[^\n]*$"):
        pull("somebody/else", tmp_path / "pulled")
    with pytest.raises(MissingError, match="expected a results folder or a site"):
        push(tmp_path, REPO)
