"""
`trace`: what happened to a message, told from evidence and from a new run on paper.

Rules of this file: the new run uses the configuration snapshot that routed the message, so it
says what ran then; nothing is stored.
"""

from __future__ import annotations

from engine.hl7.errors import Hl7Error
from engine.model.errors import MedbusError
from engine.model.records import StoredMessage
from engine.model.states import MessageState
from engine.pipeline.trace import Recorder, StepRecord
from engine.runtime.desk import Desk
from engine.runtime.differences import message_changes
from engine.runtime.rerun import run_again
from engine.runtime.views import View, note_of, tell_decision, view_attempt, view_route
from engine.runtime.why import view_explained


def trace(desk: Desk, message: StoredMessage) -> View:
    """Return arrival, steps as field diffs, attempts and replays of one message."""
    zone = desk.configuration.site.timezone
    steps, note = _steps(desk, message)
    return {
        "message": view_explained(desk, message),
        "routes": [
            {**view_route(result), "steps": steps.get(result.route, [])}
            for result in message.routes
        ],
        "inbound_steps": steps.get("", []),
        "note": note,
        "deliveries": [
            {
                "delivery_id": delivery.delivery_id,
                "outbound": delivery.outbound,
                "state": str(delivery.state),
                "method": delivery.method,
                "note": note_of(delivery),
                "attempts": [
                    view_attempt(stored, zone)
                    for stored in desk.store.get_attempts(delivery.delivery_id)
                ],
            }
            for delivery in message.deliveries
        ],
        "replays": [
            {
                "message_id": replay_id,
                "replay_as": desk.store.get_message(replay_id).replay_as,
            }
            for replay_id in desk.store.find_replays(message.message_id)
        ],
    }


def _steps(desk: Desk, message: StoredMessage) -> tuple[dict[str, list[View]], str]:
    """Return each route's steps as they ran, and what should be said about the run."""
    if message.state is not MessageState.ACCEPTED:
        return {}, f"the message is {message.state}: no route ran"
    recorder = Recorder()
    try:
        configuration = desk.configuration_of(message.snapshot_id)
        run_again(desk, configuration, message, recorder=recorder)
    except (MedbusError, Hl7Error) as error:
        return {}, f"the steps cannot be shown: {error}"
    steps: dict[str, list[View]] = {}
    route = ""
    for record in recorder.records:
        route = record.owner if record.place == "route" else route
        steps.setdefault("" if record.place == "inbound" else route, []).append(_view_step(record))
    for name, decision in recorder.route_decisions.items():
        row = {
            "step": "when",
            "kind": "when",
            "element": "",
            "outcome": "not met",
            "why": tell_decision(decision),
        }
        steps.setdefault(name, []).append({**row, "changes": []})
    return steps, ""


def _view_step(record: StepRecord) -> View:
    changes = []
    if record.before is not None and record.after is not None:
        changes = message_changes(record.before, record.after)
    place = f"{record.owner}: " if record.place == "outbound" else ""
    part = f" (part {record.part})" if record.part > 1 else ""
    return {
        "step": f"{place}{record.number}{part}",
        "kind": record.kind,
        "element": record.element,
        "outcome": record.outcome,
        "why": tell_decision(record.decision) if record.decision is not None else "",
        "changes": changes,
        "log": list(record.log),
    }
