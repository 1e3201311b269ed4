"""Weights: fetching by pip from a folder instead of an index, hashes, damage, two at once."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from pose3d.errors import UsageError, WeightsError
from pose3d.weights import fetching, finding
from pose3d.weights.table import WEIGHTS, WeightsEntry, WheelMember

CONTENT = {"toy/a.bin": b"first network" * 50, "toy/b.bin": b"second network" * 60}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def build_wheel(folder: Path) -> Path:
    """Writes the smallest wheel that pip accepts."""
    path = folder / "posetoy-1.0-py3-none-any.whl"
    info = "posetoy-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in CONTENT.items():
            archive.writestr(name, data)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: posetoy\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, WeightsEntry]:
    """Two entries of a wheel that pip finds in a folder; an empty cache; no network."""
    index = tmp_path / "index"
    index.mkdir()
    wheel = build_wheel(index)
    monkeypatch.setenv("POSE3D_CACHE", str(tmp_path / "cache with space"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    entries = {}
    for name, path in (("toy.a", "toy/a.bin"), ("toy.b", "toy/b.bin")):
        entries[name] = WeightsEntry(
            name=name,
            file_name=path.split("/")[1],
            kind="wheel",
            source="test",
            licence="CC0-1.0",
            sha256=sha256(CONTENT[path]),
            size_bytes=len(CONTENT[path]),
            member=WheelMember(
                requirement="posetoy==1.0",
                sha256=sha256(wheel.read_bytes()),
                size_bytes=wheel.stat().st_size,
                path=path,
            ),
        )
    monkeypatch.setattr("pose3d.weights.table.WEIGHTS", entries)
    return entries


def leftovers() -> list[str]:
    folder = finding.user_weights_dir()
    return sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []


def test_fetch_brings_every_file_of_the_wheel_and_nothing_else(table):
    said: list[str] = []
    assert finding.locate("toy.a") is None
    path = fetching.fetch("toy.a", on_progress=said.append)
    assert path.read_bytes() == CONTENT["toy/a.bin"]
    assert leftovers() == ["a.bin", "b.bin"]
    assert len(said) == 1
    assert "posetoy==1.0" in said[0]
    # The other file came along: nothing more is fetched, even offline.
    assert fetching.fetch("toy.b", offline=True).read_bytes() == CONTENT["toy/b.bin"]
    assert finding.locate("toy.b") == finding.verify("toy.b")


def test_wrong_hash_of_the_member_leaves_nothing_behind(table, monkeypatch):
    monkeypatch.setitem(table, "toy.a", replace(table["toy.a"], sha256="0" * 64))
    with pytest.raises(WeightsError, match="expected " + "0" * 64):
        fetching.fetch("toy.a")
    assert "a.bin" not in leftovers()
    assert not [name for name in leftovers() if name.startswith(".")]


def test_wrong_hash_of_the_wheel_leaves_nothing_behind(table, monkeypatch):
    assert table["toy.a"].member is not None
    member = replace(table["toy.a"].member, sha256="1" * 64)
    monkeypatch.setitem(table, "toy.a", replace(table["toy.a"], member=member))
    with pytest.raises(WeightsError):
        fetching.fetch("toy.a")
    assert leftovers() == []


def test_offline_error_tells_how_to_place_the_file_and_then_it_is_found(table):
    with pytest.raises(WeightsError) as caught:
        fetching.fetch("toy.a", offline=True)
    target = finding.target_path(table["toy.a"])
    for needed in (str(target), table["toy.a"].sha256, "toy/a.bin", "posetoy==1.0"):
        assert needed in str(caught.value)
    target.parent.mkdir(parents=True)
    target.write_bytes(CONTENT["toy/a.bin"])
    assert fetching.fetch("toy.a", offline=True) == target


def test_no_index_shows_what_pip_said_and_how_to_place_the_file(table, monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing here"))
    with pytest.raises(WeightsError) as caught:
        fetching.fetch("toy.a")
    assert "No matching distribution" in caught.value.what
    assert str(finding.target_path(table["toy.a"])) in caught.value.todo
    assert leftovers() == []


@pytest.mark.parametrize("damage", [b"", b"first network" * 49, b"version https://git-lfs"])
def test_damaged_file_is_refused(table, damage):
    target = finding.target_path(table["toy.a"])
    target.parent.mkdir(parents=True)
    target.write_bytes(damage)
    with pytest.raises(WeightsError):
        fetching.fetch("toy.a")


def test_cache_that_cannot_be_written(table, monkeypatch, tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("not a folder")
    monkeypatch.setenv("POSE3D_CACHE", str(blocker))
    with pytest.raises(WeightsError, match="POSE3D_CACHE"):
        fetching.fetch("toy.a")


def test_two_processes_at_once(table, tmp_path):
    script = (
        "from pose3d.weights import fetching, table\n"
        "from pose3d.weights.table import WeightsEntry, WheelMember\n"
        f"table.WEIGHTS = {table!r}\n"
        "print(fetching.fetch('toy.a').stat().st_size)\n"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    sizes = [run.communicate(timeout=60)[0].strip() for run in runs]
    assert sizes == [str(len(CONTENT["toy/a.bin"]))] * 2
    assert leftovers() == ["a.bin", "b.bin"]


def test_unknown_name_suggests(table):
    with pytest.raises(UsageError, match=r"'toy\.a'"):
        fetching.fetch("toy.aa")


def test_packaged_and_imported_lifters_are_discovered(table, monkeypatch, tmp_path):
    packaged = tmp_path / "packaged"
    packaged.mkdir()
    good, bad = packaged / "mix.small.safetensors", packaged / "mix.large.safetensors"
    good.write_bytes(b"good")
    bad.write_bytes(b"bad")
    (packaged / "mix.small.md").write_text("# Card\n\n- **Licence:** Apache-2.0\n")
    lost = "mix.lost.safetensors"
    lines = [f"{sha256(b'good')}  {good.name}", f"{'2' * 64}  {bad.name}", f"{'3' * 64}  {lost}"]
    (packaged / "SHA256SUMS").write_text("\n".join(lines) + "\n")
    monkeypatch.setattr("pose3d.weights.finding.packaged_weights_dir", lambda: packaged)
    mine = finding.user_weights_dir()
    mine.mkdir(parents=True)
    (mine / "mixste.mine.safetensors").write_bytes(b"mine")
    entries = {e.name: e for e in finding.list_weights()}
    assert set(entries) == {"mix.small", "mix.large", "mix.lost", "mixste.mine", "toy.a", "toy.b"}
    assert entries["mix.small"].licence == "Apache-2.0"
    assert entries["mixste.mine"].kind == "user"
    assert fetching.fetch("mix.small") == good
    assert fetching.fetch("mixste.mine").read_bytes() == b"mine"
    with pytest.raises(WeightsError):
        fetching.fetch("mix.large")
    with pytest.raises(WeightsError):
        fetching.fetch("mix.lost")


def test_packaged_file_without_a_checksum_is_refused(table, monkeypatch, tmp_path):
    (tmp_path / "mix.new.safetensors").write_bytes(b"x")
    monkeypatch.setattr("pose3d.weights.finding.packaged_weights_dir", lambda: tmp_path)
    with pytest.raises(WeightsError, match="SHA256SUMS"):
        fetching.fetch("mix.new")


def test_the_real_table_is_complete():
    for name, entry in WEIGHTS.items():
        assert entry.name == name
        assert entry.licence
        assert entry.is_fetched
        if entry.member is None:
            assert all(m.startswith("https://") for m in entry.mirrors)
            assert entry.npm is not None or "commercial" in entry.licence
            assert entry.sha256 is None or len(entry.sha256) == 64
            continue
        assert entry.sha256 is not None
        assert len(entry.sha256) == len(entry.member.sha256) == 64
        assert entry.member.path.endswith(entry.file_name)
