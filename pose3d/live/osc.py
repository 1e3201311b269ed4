"""Open Sound Control over UDP: where to, packets that fit a network, and plain joints."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from typing import Any

from pose3d.body.skeletons import H36M17
from pose3d.errors import UsageError
from pose3d.live.moment import Moment
from pose3d.plugins import import_extra

PACKET_BYTES = 1400
"""A packet of more would be cut into pieces by most networks, of which each can be lost."""

Message = tuple[str, Sequence[tuple[str, Any]]]  # address, and type and value of each argument


def parse_address(flag: str, text: str) -> tuple[str, int]:
    """Reads ``HOST:PORT`` (``[::1]:39539`` too); ``flag`` is for the UsageError."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(f"{flag} is {text!r}", f"Give HOST:PORT, e.g. {flag} 127.0.0.1:39539")
    return host, int(port)


class OscSender:
    """Sends messages to one address, several in a bundle; whether anybody listens is not told."""

    def __init__(self, flag: str, address: str) -> None:
        import_extra("pythonosc", "live", flag)
        host, port = parse_address(flag, address)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError) as error:
            what = f"The host of {flag} {address} is not known ({error})"
            raise UsageError(what, "Check its name or give its number") from error
        # "localhost" is both; those who receive OSC mostly listen to IPv4.
        family, _, _, _, where = min(found, key=lambda one: one[0] != socket.AF_INET)
        self._where: Any = where
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def send_messages(self, messages: Iterable[Message]) -> None:
        """Sends messages in as few packets as may be; OSError where the network refuses."""
        for packet in make_packets(messages):
            self._socket.sendto(packet, self._where)

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()


def make_packets(messages: Iterable[Message]) -> list[bytes]:
    """Packs messages, in order, into bundles of up to :data:`PACKET_BYTES`."""
    from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
    from pythonosc.osc_message_builder import OscMessageBuilder

    bundles: list[OscBundleBuilder] = []
    size = PACKET_BYTES
    for address, arguments in messages:
        builder = OscMessageBuilder(address)
        for kind, value in arguments:
            builder.add_arg(value, kind)
        message = builder.build()
        size += len(message.dgram) + 4  # its length goes before it
        if size > PACKET_BYTES:
            bundles.append(OscBundleBuilder(IMMEDIATELY))
            size = 16 + len(message.dgram) + 4
        bundles[-1].add_content(message)
    return [bundle.build().dgram for bundle in bundles]


class OscJoints(OscSender):
    """Sends everybody's joints under names of our own.

    ``/pose3d/frame`` number, time (s), people; then a message a joint, ``/pose3d/joint`` person, name,
    x, y, z, score: metres from the pelvis in camera axes (x right, y down, z forward).
    """

    def __init__(self, address: str) -> None:
        super().__init__("--osc", address)

    def send(self, moment: Moment) -> None:
        """Sends one moment."""
        count = ("i", len(moment.people))
        messages: list[Message] = [
            ("/pose3d/frame", [("i", moment.index), ("f", moment.time_s), count])
        ]
        for person in moment.people:
            rows = zip(H36M17.joints, person.joints_cam_m, person.score, strict=True)
            for name, joint, score in rows:
                numbers = [("f", float(value)) for value in (*joint, score)]
                messages.append(("/pose3d/joint", [("i", person.person_id), ("s", name), *numbers]))
        self.send_messages(messages)
