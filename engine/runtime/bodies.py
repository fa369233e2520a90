"""Opening stored bytes for people; the caller has left the audit record."""

from __future__ import annotations

import base64

from engine.hl7.errors import Hl7Error
from engine.hl7.message import Message
from engine.model.errors import NotFound, Usage
from engine.model.records import StoredDelivery, StoredMessage
from engine.runtime.desk import Desk
from engine.runtime.views import View


def open_body(desk: Desk, message: StoredMessage, given_id: str, what: str, outbound: str) -> View:
    """Return the bytes (base64) and their text, one segment a line."""
    subject = message.message_id
    if what == "received":
        body = desk.store.get_body(message.message_id)
    elif what == "ack":
        body = desk.store.get_ack(message.message_id)
        if not body:
            raise NotFound(f"no ack was given for {message.message_id}")
    elif what == "sent":
        delivery = find_delivery(message, given_id, outbound)
        subject = delivery.delivery_id
        body = desk.store.get_output(delivery.delivery_id)
    else:
        raise Usage(f"{what!r} is nothing to show")
    return {
        "id": subject,
        "what": what,
        "outbound": outbound,
        "bytes": len(body),
        "body": base64.b64encode(body).decode(),
        "text": readable(desk, body, message.inbound if what == "received" else ""),
    }


def find_delivery(message: StoredMessage, given_id: str, outbound: str) -> StoredDelivery:
    """Return the delivery meant: the one named, or the latest to *outbound*."""
    found = [
        d
        for d in message.deliveries
        if d.outbound == outbound and given_id in (d.delivery_id, message.message_id)
    ]
    if not found:
        raise NotFound(f"{given_id} has no delivery to {outbound}")
    return found[-1]


def readable(desk: Desk, body: bytes, inbound: str) -> str:
    """Return *body* as text in its own character set, one segment per line."""
    try:
        charset = read_message(desk, body, inbound).charset
    except Hl7Error:
        charset = "utf-8"
    return body.decode(charset, "backslashreplace").replace("\r", "\n").rstrip("\n")


def read_message(desk: Desk, body: bytes, inbound: str) -> Message:
    """Return *body* parsed with the character set its inbound channel declares."""
    channel = desk.configuration.site.inbound.get(inbound)
    if channel is None:
        return Message.parse(body)
    return Message.parse(body, charset=channel.charset.default, force_charset=channel.charset.force)
