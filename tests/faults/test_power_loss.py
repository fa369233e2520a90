"""The power goes at any moment; whatever the disk may hold then, nothing acknowledged is lost."""

from __future__ import annotations

import os
import random
import shutil
import threading
import time
from pathlib import Path

import pytest

from engine.store.records import MessageFilter
from engine.store.settings import StoreSettings
from engine.store.sqlite_store import SqliteStore
from tests.faults.bench import Bench, built_library, message
from tests.faults.power import Cut, Record, acked_ids, cut_power, plan_cuts, read_record
from tests.torture.report import keep_figures

fault = pytest.mark.fault

SEED = int(os.environ.get("MEDBUS_SEED", "1"))
SENDERS = 3


def body_of(control_id: str) -> bytes:
    """Return the message that has *control_id*; every ninth is large, to bring on checkpoints."""
    number = int(control_id[1:])
    text = "x" * (300_000 if number % 9 == 0 else number % 700)
    return message(number, patient=f"P{number % 5}", text=text)


def recorded_run(folder: Path, per_sender: int, *, kills: int) -> tuple[list[Record], Path]:
    """Run an engine under load, killed and started in between; return the record of its disk."""
    folder.mkdir(parents=True, exist_ok=True)
    library = built_library(Path(__file__).with_name("recorder.c"), folder)
    it = Bench(folder)
    site = it.engine.folder
    environ = {
        "LD_PRELOAD": str(library),
        "MEDBUS_RECORD": str(folder / "record"),
        "MEDBUS_RECORD_FOLDER": str(site),
    }

    def load(sender: int, turn: int) -> None:
        for place in range(per_sender):
            it.send(body_of(f"F{(turn * per_sender + place) * SENDERS + sender + 1}"))

    try:
        for turn in range(kills + 1):
            it.start(environ)
            threads = [threading.Thread(target=load, args=(n, turn)) for n in range(SENDERS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            if turn < kills:
                it.engine.kill()
        assert it.engine.terminate() == 0
    finally:
        it.close()
    return read_record(folder / "record"), site


def find_broken(cut: Cut, data: Path) -> list[str]:
    """Return what is not as it was promised in the store that a power cut left."""
    settings = StoreSettings(now=time.time, min_free_bytes=0, min_free_share=0.0)
    try:
        store = SqliteStore(data, settings=settings)
    except Exception as error:  # noqa: BLE001  whatever it is, the engine would not start
        return [f"does not open: {error}"]
    broken = []
    try:
        while store.step():
            pass
        kept = store.find_messages(MessageFilter(states=("accepted",)), limit=100_000).items
        ids = [one.control_id for one in kept]
        broken += [f"lost {one}" for one in sorted(cut.acked - set(ids))]
        if len(ids) != len(set(ids)):
            broken.append("a message was accepted twice")
        for one in kept:
            if store.get_body(one.message_id) != body_of(one.control_id):
                broken.append(f"{one.control_id} has other bytes")
            (delivery,) = store.get_message(one.message_id).deliveries
            if delivery.state not in ("pending", "delivered"):
                broken.append(f"{one.control_id} is {delivery.state}")
            if delivery.state == "delivered" and one.control_id not in cut.answered:
                broken.append(f"{one.control_id} is delivered, but nobody took it")
        broken += [
            f"ledger: {row}" for day in store.ledger_days() for row in store.check_ledger(day)
        ]
        broken += [f"alarm: {alarm.what}" for alarm in store.alarms()]
        if not store.verify_audit().ok:
            broken.append("the audit chain does not verify")
    finally:
        store.close()
    return broken


def check_cuts(
    records: list[Record], site: Path, into: Path, count: int, *, started: int = 0
) -> dict[str, object]:
    """Cut the power *count* times and start the engine on *started* of them; fail at the first."""
    dice = random.Random(SEED)
    cuts = plan_cuts(records, count, dice)
    most = 0
    to_start = set(dice.sample(range(count), started))
    for number, (cut, target) in enumerate(cut_power(records, cuts, site, into, dice)):
        data = target / "data"
        if number in to_start and cut.acked:
            start_again(cut, data, into / f"again-{number}")
        if data.exists() or cut.acked:
            broken = find_broken(cut, data)
            assert broken == [], f"cut at record {cut.at} ({cut.kind}), seed {SEED}"
        most = max(most, len(cut.acked))
        shutil.rmtree(target)
    return {
        "power cuts": count,
        "of them with a start of the engine": started,
        "writes, syncs and acks recorded": len(records),
        "acked at the last cut": most,
        "lost": 0,
        "seed": SEED,
    }


def start_again(cut: Cut, data: Path, folder: Path) -> None:
    """Start the real engine on what a cut left: all that was acked and not taken comes out."""
    it = Bench(folder)
    try:
        shutil.copytree(data, it.engine.folder / "data")
        it.start()
        it.engine.wait_drained()
        assert cut.acked - cut.answered <= set(it.receiver.control_ids())
        assert all(body == body_of(body.split(b"|")[9].decode()) for body in it.receiver.messages)
        assert it.engine.command("audit", "verify").returncode == 0
    finally:
        it.close()


@fault(
    5, "power loss, 40 cuts (record of all writes)", "0 acked lost; opens; ledger and audit hold"
)
def test_power_loss(tmp_path: Path) -> None:
    """Whatever of the unsynced writes survives a power cut, every acked message is there."""
    records, site = recorded_run(tmp_path, 12, kills=1)
    figures = check_cuts(records, site, tmp_path / "cuts", 40)
    assert int(str(figures["acked at the last cut"])) >= 40, "too little to mean anything"


@fault(
    5, "power loss, 400 cuts (record of all writes)", "0 acked lost; opens; ledger and audit hold"
)
@pytest.mark.torture
@pytest.mark.timeout(1800)
def test_power_loss_again_and_again(tmp_path: Path) -> None:
    """Four hundred cuts in a longer run with kills and checkpoints lose nothing either."""
    records, site = recorded_run(tmp_path, 60, kills=3)
    behind = max(index for index, record in enumerate(records) if record.op == "a")
    early = [record.path for record in records[:behind] if record.op == "w"]
    assert any("messages" in path and path.endswith(".db") for path in early), "no checkpoint"
    figures = check_cuts(records, site, tmp_path / "cuts", 400, started=10)
    keep_figures("power", figures)


def test_a_store_that_does_not_sync_is_found_out(tmp_path: Path) -> None:
    """Without its syncs the same record loses acked messages: this test can see that."""
    records, site = recorded_run(tmp_path, 4, kills=0)
    unsynced = [record for record in records if record.op != "s" or "-wal" not in record.path]
    behind = max(index for index, record in enumerate(unsynced) if record.op == "a") + 1
    acked = frozenset(one for record in unsynced if record.op == "a" for one in acked_ids(record))
    cut = Cut(behind, "synced", acked, acked)
    ((_, target),) = cut_power(unsynced, [cut], site, tmp_path / "cuts", random.Random(SEED))
    lost = [row for row in find_broken(cut, target / "data") if row.startswith("lost")]
    assert len(lost) == len(acked) == 4 * SENDERS
