"""A camera in the network: a small RTSP server that plays a clip, and can fall silent or go away."""

from __future__ import annotations

import contextlib
import io
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av

# RTP payloads are RFC 6184, packed by FFmpeg; RTP in the RTSP connection is RFC 2326, 10.12.
_SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
    "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track\r\n"
)


class RtspCamera:
    """Plays the H.264 of an MPEG transport stream in real time to whoever asks, over TCP, again and again.

    Args:
        silent_after: packets of the clip after which the first connection gets nothing any more;
            None: all are sent, then the connection ends.
        answers: connections that are answered; later ones are closed at once.
    """

    def __init__(
        self, clip: Path, *, silent_after: int | None = None, answers: int = 1000, name: str = ""
    ) -> None:
        self.packets = list(_rtp_packets(clip))
        self.silent_after, self.answers = silent_after, answers
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"rtsp://{name}127.0.0.1:{self._socket.getsockname()[1]}/walk"
        self._ended = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._ended.set()
        self._socket.close()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            if self.connections > self.answers:
                connection.close()
                continue
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        first = self.connections == 1
        with contextlib.suppress(OSError), connection, connection.makefile("rwb") as stream:
            while (request := _read_request(stream)) is not None:
                method, number = request
                head, body = "", ""
                if method == "OPTIONS":
                    head = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
                elif method == "DESCRIBE":
                    body = _SDP
                    head = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
                elif method == "SETUP":
                    head = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
                elif method == "PLAY":
                    head = "Session: 1\r\n"
                stream.write(f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\n{head}\r\n{body}".encode())
                stream.flush()
                if method == "PLAY":
                    self._play(stream, self.silent_after if first else None)
                    return

    def _play(self, stream: io.BufferedRWPair, silent_after: int | None) -> None:
        began_s = time.monotonic()
        for number, (time_s, packet) in enumerate(self.packets):
            if number == silent_after:
                self._ended.wait(60)
                return
            if self._ended.wait(max(0.0, began_s + time_s - time.monotonic())):
                return
            try:
                stream.write(b"$" + struct.pack(">BH", 0, len(packet)) + packet)
                stream.flush()
            except OSError:
                return


def _read_request(stream: io.BufferedRWPair) -> tuple[str, str] | None:
    lines = []
    while (line := stream.readline().decode().strip()) or not lines:
        if not line:
            return None
        lines.append(line)
    number = next(line.split(":")[1].strip() for line in lines if line.lower().startswith("cseq"))
    return lines[0].split()[0], number


def _rtp_packets(clip: Path) -> Iterator[tuple[float, bytes]]:
    """Yields when to send each RTP packet of a clip, seconds, and the packet."""
    written: list[bytes] = []

    class Sink:
        def write(self, data: bytes) -> int:
            written.append(bytes(data))
            return len(data)

    with av.open(str(clip)) as source:
        stream = source.streams.video[0]
        with av.open(Sink(), "w", format="rtp") as output:
            out = output.add_stream_from_template(stream)
            began_s = None
            for packet in source.demux(stream):
                if packet.dts is None:
                    continue
                time_s = float(packet.dts * packet.time_base)
                began_s = time_s if began_s is None else began_s
                packet.stream = out
                output.mux(packet)
                for data in written:
                    # RTCP reports have packet types from 200 on (RFC 5761).
                    if not 200 <= data[1] <= 207:
                        yield time_s - began_s, data
                written.clear()


@contextmanager
def rtsp_camera(clip: Path, **more) -> Iterator[RtspCamera]:
    camera = RtspCamera(clip, **more)
    try:
        yield camera
    finally:
        camera.close()
