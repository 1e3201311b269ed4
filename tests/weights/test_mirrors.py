"""Weights with several addresses: a local server, zips, wrong hashes, broken answers."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import threading
import zipfile

import pytest

from pose3d.errors import UsageError, WeightsError
from pose3d.weights import fetching, finding
from pose3d.weights.table import WeightsEntry

CONTENT = b"a network" * 1000


def zip_of(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/") + ".onnx", data)
        archive.writestr("20230831/pipeline.json", "{}")
    return buffer.getvalue()


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_args: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path.endswith("cut.zip"):
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(b"PK only the beginning")
            return
        super().do_GET()


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "good.zip").write_bytes(zip_of(a__end2end=CONTENT))
    (folder / "plain.onnx").write_bytes(CONTENT)
    (folder / "other.zip").write_bytes(zip_of(end2end=b"something else"))
    (folder / "two.zip").write_bytes(zip_of(a=CONTENT, b=CONTENT))
    handler = functools.partial(_Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}", folder
        running.shutdown()
        thread.join()


@pytest.fixture
def entry(tmp_path, monkeypatch):
    """Puts one entry with these addresses and hash into the table."""
    monkeypatch.setenv("POSE3D_CACHE", str(tmp_path / "cache with space"))

    def put(*mirrors: str, sha256: str | None = hashlib.sha256(CONTENT).hexdigest()) -> None:
        made = WeightsEntry(
            name="toy.net",
            file_name="toy.net.onnx",
            kind="mirror",
            source="test",
            licence="CC0-1.0",
            sha256=sha256,
            size_bytes=None,
            mirrors=mirrors,
        )
        monkeypatch.setattr("pose3d.weights.table.WEIGHTS", {"toy.net": made})

    return put


def leftovers() -> list[str]:
    return sorted(p.name for p in finding.user_weights_dir().iterdir())


@pytest.mark.parametrize("name", ["good.zip", "plain.onnx"])
def test_the_first_address_that_works_is_used(server, entry, name):
    url, folder = server
    said: list[str] = []
    entry(f"{url}/gone.zip", f"{url}/cut.zip", f"{url}/other.zip", f"{url}/{name}", "http://[bad")
    path = fetching.fetch("toy.net", on_progress=said.append)
    assert path.read_bytes() == CONTENT
    assert leftovers() == ["toy.net.onnx"]
    assert [s.rsplit("/", 1)[-1] for s in said[:4]] == ["gone.zip", "cut.zip", "other.zip", name]
    (folder / name).unlink()
    assert fetching.fetch("toy.net", offline=True) == path


def test_a_file_address_works(server, entry):
    _, folder = server
    entry((folder / "good.zip").as_uri())
    assert fetching.fetch("toy.net").read_bytes() == CONTENT


def test_every_failure_is_told(server, entry):
    url, _ = server
    entry(f"{url}/gone.zip", f"{url}/cut.zip", f"{url}/other.zip", f"{url}/two.zip")
    with pytest.raises(WeightsError) as caught:
        fetching.fetch("toy.net")
    for reason in ("File not found", "broke off after 21 of 100000", "expected", "holds 2 files"):
        assert reason in caught.value.what
    assert str(finding.user_weights_dir() / "toy.net.onnx") in caught.value.todo
    assert leftovers() == []


def test_without_a_hash_it_is_said_to_be_unverified(server, entry):
    url, _ = server
    entry(f"{url}/good.zip", sha256=None)
    said: list[str] = []
    fetching.fetch("toy.net", on_progress=said.append)
    assert any("unverified" in s for s in said)
    assert any("CC0-1.0" in s for s in said)


def test_damage_after_fetching_is_noticed(server, entry):
    url, _ = server
    entry(f"{url}/good.zip")
    fetching.fetch("toy.net").write_bytes(b"damaged")
    with pytest.raises(WeightsError):
        fetching.fetch("toy.net")


def test_offline_nothing_is_fetched(server, entry):
    url, _ = server
    entry(f"{url}/good.zip")
    with pytest.raises(WeightsError):
        fetching.fetch("toy.net", offline=True)


def test_a_path_or_a_name_is_found(server, entry, tmp_path):
    url, folder = server
    entry(f"{url}/good.zip")
    by_name = fetching.find_file("toy.net", ".onnx")
    assert (by_name.name, by_name.licence) == ("toy.net", "CC0-1.0")
    by_path = fetching.find_file(str(folder / "plain.onnx"), ".onnx")
    assert (by_path.path, by_path.name) == (folder / "plain.onnx", "plain.onnx")
    with pytest.raises(WeightsError):
        fetching.find_file(str(tmp_path / "no.onnx"), ".onnx")
    with pytest.raises(UsageError, match=r"toy\.net"):
        fetching.find_file("toy.nett", ".onnx")
