"""
One sender's connection: frames in, acks out in the order of their frames.

Rules of this file: no decisions about messages; it cuts, asks, and writes what it is told, all
acks that are ready in one write. It never says why it closes to the peer, only to the counters.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IHandshakeListener,
    IPushProducer,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from engine.mllp.frames import Discarded, Frame, FrameDecoder, encode_frame
from engine.mllp.writing import write_at_once, writes_at_once

if TYPE_CHECKING:
    from engine.intake.listener import MllpListener

#: what a message costs beside its bytes, for the budget
OVERHEAD_BYTES = 2048
#: seconds to wait for the CR of a frame whose FS was the last byte
CR_GRACE_S = 0.1
#: seconds for the last acks and the farewell of a connection that we close
CLOSE_GRACE_S = 2.0
#: text where a frame should begin; nobody who speaks MLLP sends so much of it
MOST_JUNK_BYTES = 1024

_WRITE, _BUDGET = 1, 2


class Reply:
    """The place in the order of acks that one frame holds."""

    __slots__ = ("_connection", "ack", "is_ready", "size")

    def __init__(self, connection: MllpConnection, size: int) -> None:
        self._connection = connection
        self.size = size
        self.ack = b""
        self.is_ready = False

    @property
    def peer(self) -> str:
        """Return who sent the frame, as address:port."""
        return self._connection.peer

    def give(self, ack: bytes) -> None:
        """Answer with *ack*; b"" answers nothing. The first answer counts."""
        if not self.is_ready:
            self.ack = ack
            self.is_ready = True
            self._connection.flush(self)

    def hang_up(self) -> None:
        """Close the connection without an answer: the sender will send again."""
        if not self.is_ready:
            self._connection.give_back(self)
        self._connection.abort()


@implementer(IHalfCloseableProtocol, IHandshakeListener, IPushProducer)
class MllpConnection(Protocol):
    """The thin protocol between a transport and the channel."""

    transport: Any

    def __init__(self, listener: MllpListener) -> None:
        self._listener = listener
        self._budget = listener.budget
        self._decoder = FrameDecoder(listener.limits.max_message_bytes)
        self._replies: deque[Reply] = deque()
        self._held_bytes = 0
        self._stopped = 0
        self._junk_bytes = 0
        self._is_flush_due = False
        self._closes_when_answered = False
        self._is_lost = False
        self._cr_timer: Any = None
        self._close_timer: Any = None
        self._is_ready = not listener.is_tls
        self.peer = ""
        self._writes_at_once = False
        # Ticks of the listener's sweep, instead of a timer per read.
        self._began_tick = self._read_tick = listener.tick
        self._frame_tick = -1
        self._frame_bytes = 0
        self._has_framed = False

    # -- Twisted asks ----------------------------------------------------------------------

    def connectionMade(self) -> None:
        """Take part in the sweep; be told when the peer does not read its acks."""
        address = self.transport.getPeer()
        self.peer = f"{address.host}:{address.port}"
        self._writes_at_once = writes_at_once(self.transport)
        self.transport.registerProducer(self, True)
        self._listener.opened(self)

    def handshakeCompleted(self) -> None:
        """Look at the peer's name, on resumed sessions too."""
        self._is_ready = True
        if not self._listener.is_name_allowed(self.transport):
            self._listener.counts.refused_connections += 1
            self.abort()

    def dataReceived(self, chunk: bytes) -> None:
        """Cut, hand over, and keep the budget."""
        listener = self._listener
        decoder = self._decoder
        self._read_tick = listener.tick
        if self._cr_timer is not None:
            self._stop_cr_timer()
        for event in decoder.feed(chunk):
            if type(event) is Frame:
                self._take(event.body)
            else:
                self._take_other(event)
        if decoder.is_inside_frame:
            self._note_unfinished(len(chunk))
        elif self._held_bytes:
            self._hold(0)
        if self._budget.used > self._budget.limit:
            self._budget.gate(self)

    def readConnectionLost(self) -> None:
        """The peer will send no more; it may still read its acks."""
        self._close_frame()
        self.close_when_answered()

    def writeConnectionLost(self) -> None:
        """The peer reads no more: there is nobody to answer."""
        self.abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let go of everything; a frame that ended with FS was complete."""
        if self._is_lost:
            return
        self._is_lost = True
        self._close_frame()
        if self._cr_timer is not None:
            self._stop_cr_timer()
        if self._close_timer is not None and self._close_timer.active():
            self._close_timer.cancel()
        self._hold(0)
        self._budget.forget(self)
        self._listener.closed(self, is_tls_failure=not self._is_ready)

    def pauseProducing(self) -> None:
        """The peer does not read its acks: take no more messages from it."""
        self._stop(_WRITE)

    def resumeProducing(self) -> None:
        """The peer reads again."""
        self._go_on(_WRITE)

    def stopProducing(self) -> None:
        """The transport is gone."""

    # -- the channel asks ------------------------------------------------------------------

    def give_back(self, reply: Reply) -> None:
        """Count the frame's bytes out, once."""
        size, reply.size = reply.size, 0
        self._budget.remove(size)

    def flush(self, reply: Reply) -> None:
        """Write what is ready at the head of the order: at once, or once for many."""
        self.give_back(reply)
        if self._is_lost:
            return
        replies = self._replies
        if replies[0] is reply:
            if len(replies) == 1:
                replies.clear()
                if reply.ack:
                    self._write(encode_frame(reply.ack))
                if self._closes_when_answered:
                    self._close()
            elif replies[-1].is_ready and all(each.is_ready for each in replies):
                self._write_ready()
            elif not self._is_flush_due:
                self._is_flush_due = True
                self._listener.clock.callLater(0, self._write_ready)
        elif replies[-1] is reply and all(each.is_ready for each in replies):
            self._write_ready()

    def close_when_answered(self) -> None:
        """Close as soon as every frame taken has its ack."""
        self._closes_when_answered = True
        if not self._replies and not self._is_lost:
            self._close()

    def abort(self) -> None:
        """Drop the connection now, unanswered."""
        if not self._is_lost:
            self.transport.unregisterProducer()
            self.transport.abortConnection()

    # -- the budget asks -------------------------------------------------------------------

    @property
    def is_inside_frame(self) -> bool:
        """Return whether a message has been half read."""
        return self._decoder.is_inside_frame

    def stop_reading(self) -> None:
        """Read no more until there is memory for it."""
        self._stop(_BUDGET)

    def go_on_reading(self) -> None:
        """Read again."""
        self._go_on(_BUDGET)

    # -- the sweep asks --------------------------------------------------------------------

    def find_fault(self, tick: int) -> str:
        """Return why this connection should be closed at *tick* seconds, or ""."""
        limits = self._listener.limits
        if not self._is_ready:
            late = tick - self._began_tick >= limits.handshake_s
            return "no TLS handshake in time" if late else ""
        if self._stopped:
            self._read_tick = tick
            self._frame_tick += 1 if self._frame_tick >= 0 else 0
            return ""
        silent_s = tick - self._read_tick
        if self._frame_tick >= 0:
            inside_s = tick - self._frame_tick
            if silent_s >= limits.frame_timeout_s:
                return "a frame was begun and not finished"
            if inside_s > limits.slow_after_s and self._frame_bytes < inside_s * limits.slow_rate:
                return "a frame came too slowly"
            return ""
        if self._junk_bytes and not self._has_framed and tick - self._began_tick >= limits.junk_s:
            return "what came is no MLLP"
        if not self._replies and silent_s >= limits.idle_timeout_s:
            return "idle"
        return ""

    # -- inside ----------------------------------------------------------------------------

    def _take(self, body: bytes) -> None:
        size = len(body) + OVERHEAD_BYTES
        self._budget.used += size
        self._junk_bytes = 0
        self._has_framed = True
        self._frame_tick = -1
        reply = Reply(self, size)
        self._replies.append(reply)
        self._listener.on_frame(body, reply)

    def _take_other(self, event: Any) -> None:
        counts = self._listener.counts
        if isinstance(event, Discarded):
            counts.discarded_bytes += event.size_bytes
            self._junk_bytes += event.size_bytes
            if self._junk_bytes > MOST_JUNK_BYTES:
                self._listener.refuse(self, "what came is no MLLP")
            return
        size = OVERHEAD_BYTES
        self._budget.used += size
        reply = Reply(self, size)
        self._replies.append(reply)
        self._listener.on_oversize(event.head, reply)

    def _note_unfinished(self, chunk_bytes: int) -> None:
        if self._frame_tick < 0:
            self._frame_tick = self._listener.tick
            self._frame_bytes = 0
        self._frame_bytes += chunk_bytes
        self._hold(self._decoder.pending_bytes)
        if self._decoder.awaits_cr:
            self._cr_timer = self._listener.clock.callLater(CR_GRACE_S, self._close_frame)

    def _hold(self, size: int) -> None:
        change = size - self._held_bytes
        self._held_bytes = size
        if change > 0:
            self._budget.used += change
        elif change:
            self._budget.remove(-change)

    def _close_frame(self) -> None:
        """Take a frame that ended with FS and will get no CR."""
        if self._cr_timer is not None and not self._cr_timer.active():
            self._cr_timer = None
        for event in self._decoder.close_frame():
            if isinstance(event, Frame):
                self._take(event.body)
            else:
                self._take_other(event)
        if not self._decoder.is_inside_frame:
            self._hold(0)

    def _stop_cr_timer(self) -> None:
        timer, self._cr_timer = self._cr_timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _write_ready(self) -> None:
        """One write for all acks that may go now."""
        self._is_flush_due = False
        replies = self._replies
        acks: list[bytes] = []
        while replies and replies[0].is_ready:
            ack = replies.popleft().ack
            if ack:
                acks.append(encode_frame(ack))
        if self._is_lost:
            return
        if acks:
            self._write(b"".join(acks))
        if self._closes_when_answered and not replies:
            self._close()

    def _write(self, frames: bytes) -> None:
        if self._writes_at_once:
            write_at_once(self.transport, frames)
        else:
            self.transport.write(frames)

    def _close(self) -> None:
        """Close in good order, but wait no longer than that for a peer that does not read."""
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        if self._close_timer is None:
            self._close_timer = self._listener.clock.callLater(CLOSE_GRACE_S, self.abort)

    def _stop(self, why: int) -> None:
        if not self._stopped and not self._is_lost:
            self.transport.pauseProducing()
        self._stopped |= why

    def _go_on(self, why: int) -> None:
        was_stopped = self._stopped
        self._stopped &= ~why
        if was_stopped and not self._stopped and not self._is_lost:
            self.transport.resumeProducing()
