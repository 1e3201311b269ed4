"""What a fuzz test starts as a process: reads ``kind<TAB>path`` lines, answers each with a JSON line."""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import av

from pose3d.cli.config import read_config
from pose3d.errors import Pose3DError
from pose3d.keypoint_files.reading import read_keypoints
from pose3d.lift.models import load_network
from pose3d.result.record import list_formats, load, write_files
from pose3d.video.reader import open_video
from pose3d.weights.checkpoint import read_checkpoint

LIMIT_BYTES = 2 << 30


def count_frames(path: Path) -> int:
    """Decodes the stream that the reader takes with PyAV alone."""
    frames = 0
    with av.open(str(path), metadata_errors="replace") as container:
        stream = max(container.streams.video, key=lambda s: s.width * s.height)
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:
                return frames + len(stream.codec_context.decode(None))
            if packet is None:
                return frames
            try:
                frames += len(packet.decode())
            except EOFError:
                return frames
            except av.FFmpegError:
                continue


def try_video(path: Path) -> dict[str, object]:
    with open_video(path) as video:
        frames = sum(1 for _ in video)
    return {"frames": frames, "decoded": count_frames(path)}


def try_keypoints(path: Path) -> dict[str, object]:
    return {"frames": read_keypoints(path, size_wh=(1280, 720), rate=30).n_frames}


def try_result(path: Path) -> dict[str, object]:
    pose = load(path)
    with tempfile.TemporaryDirectory() as folder:
        for name in list_formats():
            try:
                write_files(pose, Path(folder) / f"pose.{name}", name)
            except Pose3DError:
                continue  # formats may refuse a result, in words
    return {"frames": pose.n_frames}


def try_weights(path: Path) -> dict[str, object]:
    return {"options": load_network(path)[1].to_json()}


def try_checkpoint(path: Path) -> dict[str, object]:
    return {"tensors": len(read_checkpoint(path))}


def try_config(path: Path) -> dict[str, object]:
    return {"options": len(read_config(path))}


TRY: dict[str, Callable[[Path], dict[str, object]]] = {
    "video": try_video,
    "keypoints": try_keypoints,
    "result": try_result,
    "weights": try_weights,
    "checkpoint": try_checkpoint,
    "config": try_config,
}


def limit_memory() -> None:
    """Allows this process so much more than what it has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + LIMIT_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main() -> None:
    if sys.platform == "linux":
        limit_memory()
    for line in sys.stdin:
        kind, path = line.rstrip("\n").split("\t")
        try:
            answer = {"outcome": "result", **TRY[kind](Path(path))}
        except Pose3DError as error:
            answer = {"outcome": "error", "what": str(error)}
        except BaseException as error:
            answer = {"outcome": "internal", "what": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
