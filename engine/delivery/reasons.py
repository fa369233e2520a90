"""Why a connection could not be made or broke, in words for the person who reads status."""

from __future__ import annotations

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet import error
from twisted.python.failure import Failure

from engine.store.file_room import NoFileRoom

_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (error.ConnectionRefusedError, "connection refused: nobody listens there"),
    (error.DNSLookupError, "the host name is not known"),
    (error.NoRouteError, "no route to the host"),
    (error.TCPTimedOutError, "no answer from the host"),
    (error.TimeoutError, "no connection in time"),
    (TimeoutError, "no connection in time"),
    (error.ConnectionDone, "the receiver closed the connection"),
    (error.ConnectionAborted, "the connection was dropped"),
    (error.ConnectionLost, "the connection broke"),
    (VerificationError, "TLS: the certificate does not carry the expected name"),
)


def describe_failure(reason: Failure) -> str:
    """Return *reason* in plain words, without anything a peer sent."""
    value = reason.value
    if isinstance(value, SSL.Error):
        return f"TLS: {_ssl_reason(value)}"
    if isinstance(value, NoFileRoom):
        return str(value.strerror)
    for kind, words in _WORDS:
        if isinstance(value, kind):
            return words
    return f"the connection failed ({type(value).__name__})"


def _ssl_reason(problem: SSL.Error) -> str:
    """Return OpenSSL's own words for what went wrong, its fixed texts only."""
    if problem.args and isinstance(problem.args[0], list) and problem.args[0]:
        return str(problem.args[0][0][-1]) or "handshake failed"
    return "handshake failed"
