"""A receiver that answers by script, over real sockets."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Protocol, ServerFactory

from engine.mllp.frames import Frame, FrameDecoder, encode_frame


def build_answer(code: str, control_id: bytes) -> bytes:
    """Return an ack without its envelope."""
    head = b"MSH|^~\\&|LIS|L|HIS|H|20261121||ACK^A01^ACK|R1|P|2.5\rMSA|"
    return head + code.encode() + b"|" + control_id + b"\r"


class ScriptedPeer(ServerFactory):
    """
    Answers the n-th message as the n-th word of its script says; after its end with AA.

    Words: an ack code (AA, AE, AR, CA …), wrong-id, half, silence, reset, close, drip, garbage,
    late (answers the message before instead), two (the ack twice), nul (junk before the ack),
    no-cr (an ack without its last byte).
    """

    noisy = False

    def __init__(self, *script: str) -> None:
        self.script = list(script)
        #: control ids as they came
        self.received: list[bytes] = []
        #: bodies as they came
        self.bodies: list[bytes] = []
        self.connection_count = 0

    def buildProtocol(self, address: Any) -> Protocol:
        """Return a connection."""
        self.connection_count += 1
        return _ScriptedConnection(self)


class _ScriptedConnection(Protocol):
    transport: Any

    def __init__(self, peer: ScriptedPeer) -> None:
        self._peer = peer
        self._decoder = FrameDecoder(100_000_000)

    def dataReceived(self, chunk: bytes) -> None:
        """Answer each message by the script."""
        for event in self._decoder.feed(chunk):
            if isinstance(event, Frame):
                control_id = event.body.split(b"\r")[0].split(b"|")[9]
                self._peer.received.append(control_id)
                self._peer.bodies.append(event.body)
                word = self._peer.script.pop(0) if self._peer.script else "AA"
                self._answer(word, control_id)

    def _answer(self, word: str, control_id: bytes) -> None:
        ack = encode_frame(build_answer("AA", control_id))
        write = self.transport.write
        if word == "wrong-id":
            write(encode_frame(build_answer("AA", b"not-" + control_id)))
        elif word == "half":
            write(ack[: len(ack) // 2])
        elif word == "reset":
            self.transport.abortConnection()
        elif word == "close":
            self.transport.loseConnection()
        elif word == "drip":
            write(ack[:10])
        elif word == "garbage":
            write(encode_frame(b"HTTP/1.1 400 Bad Request\r\n"))
        elif word == "late":
            before = self._peer.received[-2] if len(self._peer.received) > 1 else b"none"
            write(encode_frame(build_answer("AE", before)))
            write(ack)
        elif word == "two":
            write(ack + ack)
        elif word == "nul":
            write(b"\x00\x00\r\n" + ack)
        elif word == "no-cr":
            write(ack[:-1])
        elif word != "silence":
            write(encode_frame(build_answer(word, control_id)))
