"""What a requeue or a replay makes anew, and what it says when it makes nothing."""

from __future__ import annotations

from contextlib import closing

import pytest

from engine.store.ids import K_BITS
from engine.store.sqlite import open_writer
from tests.runtime.running import CHANNELS, Site, adt

ARCHIVE = """  archive:
    file: {directory: out, name: "{{ control_id }}_{{ delivery_id }}.hl7"}
"""
STEPS = CHANNELS.replace(
    "    to: lis",
    "      - lookup: {path: PID-8, table: sex, column: lis}\n    to: [lis, archive]",
).replace("routes:", f"{ARCHIVE}routes:")
FILTERED = STEPS.replace("      - set:", '      - filter: "not for us"\n      - set:')


def female(control_id: str) -> bytes:
    """Return a message for which the table has no row at first."""
    return adt(control_id, control_id).replace(b"CANARYNAME^JOHN", b"X^Y|||F")


def start(site: Site) -> None:
    """Start a site whose table lacks a row."""
    site.write("transforms/tables/sex.csv", "his,lis\nM,1\n")
    site.write_channels(STEPS)
    site.start()


def files(site: Site) -> list[str]:
    """Return the names of the files that were written."""
    folder = site.folder / "out"
    return sorted(each.name for each in folder.glob("[!.]*")) if folder.exists() else []


def test_files_have_the_name_of_the_delivery_they_are(site: Site) -> None:
    """If this failed, a file could not be traced to its delivery, or two would want one name."""
    start(site)
    assert site.send(female("C1")) == ["AA"]
    parked = site.json("messages")["items"][0]["message_id"]
    site.write("transforms/tables/sex.csv", "his,lis\nM,1\nF,2\n")
    assert site.run("reload")[0] == 0
    code, _, err = site.run("requeue", parked, "--reason", "F added", "--yes", "2")
    assert code == 0, err
    site.wait(lambda: files(site))
    (made,) = (
        delivery["delivery_id"]
        for delivery in site.json("show", parked)["deliveries"]
        if delivery["outbound"] == "archive" and delivery["state"] != "cancelled"
    )
    assert made != f"{parked}.2"
    assert files(site) == [f"C1_{made}.hl7"]

    for how in ("sent", "received"):
        before = files(site)
        told = site.json(
            "replay", parked, "--as", how, "--to", "archive", "--reason", "x", "--yes", "1"
        )
        (again,) = told["created"]
        site.wait(lambda before=before: len(files(site)) > len(before))  # type: ignore[misc]
        assert set(files(site)) - set(before) == {f"C1_{again}.1.hl7"}


def test_a_requeue_that_is_filtered_now_says_so_before_and_afterwards(site: Site) -> None:
    """If this failed, a delivery would be gone and nobody could tell why."""
    start(site)
    assert site.send(female("C1")) == ["AA"]
    parked = site.json("messages")["items"][0]["message_id"]
    site.write_channels(FILTERED)
    assert site.run("reload")[0] == 0
    _, out, _ = site.run("requeue", parked, "--dry-run")
    assert f"cancels {parked}.1: its route filters it now: not for us" in out
    assert site.run("requeue", parked, "--reason", "rule added", "--yes", "2")[0] == 0
    why = site.json("why", parked, "--to", "lis")["items"][0]["why"]
    assert "cancelled" in why
    assert why.endswith("requeued: its route filters it now: not for us")
    for told in (site.json("show", parked), site.json("trace", parked)):
        notes = [delivery["note"] for delivery in told["deliveries"]]
        assert all(note.endswith("its route filters it now: not for us") for note in notes)


def damage_body(site: Site, message_id: str, output: int) -> None:
    """Flip one bit of the received bytes (0) or of an output's, as a bad disk does."""
    day, _, number = message_id.partition("-")
    row = int(number) << K_BITS | output
    file = site.folder / f"data/messages/{day[:4]}-{day[4:6]}-{day[6:]}.db"
    with closing(open_writer(file)) as connection:
        (sealed,) = connection.execute("SELECT sealed FROM bodies WHERE id = ?", (row,)).fetchone()
        flipped = sealed[:-3] + bytes([sealed[-3] ^ 1]) + sealed[-2:]
        connection.execute("UPDATE bodies SET sealed = ? WHERE id = ?", (flipped, row))


def drop_bodies(site: Site, message_id: str) -> None:
    """Take a message's bytes out of its day's file, as retention does."""
    day, _, number = message_id.partition("-")
    file = site.folder / f"data/messages/{day[:4]}-{day[4:6]}-{day[6:]}.db"
    with closing(open_writer(file)) as connection:
        connection.execute("DELETE FROM bodies WHERE id >> ? = ?", (K_BITS, int(number)))


@pytest.mark.parametrize("how", ["sent", "received"])
def test_a_replay_says_before_it_is_done_what_it_cannot_send(site: Site, how: str) -> None:
    """If this failed, a consent would be asked for more than there is, and the rest told after."""
    site.start()
    site.send(adt("C1", "7"), adt("C2", "8"), adt("C3", "9").replace(b"PV1|1|I", b"PV1|1|O"))
    site.wait(lambda: len(site.receiver.got) == 2 and not site.outbound()["pending"])
    third, second, first = (item["message_id"] for item in site.json("messages")["items"])
    assert site.stop() == 0
    drop_bodies(site, first)
    site.restart()
    words = ("replay", "--inbound", "his", "--as", how)
    code, _, err = site.run(*words, "--dry-run")
    assert (code, f"not {first}: " in err, "no longer kept" in err) == (1, True, True)
    code, _, err = site.run(*words, "--reason", "lost", "--yes", "3")
    assert (code, "--yes 3, but this would replay 1" in err) == (1, True)
    assert f"not {first}: RUN-002 its bytes are no longer kept" in err
    nothing = "no stored output can be" if how == "sent" else "make nothing of it (all: when is not"
    assert (f"not {third}: " in err, nothing in err) == (True, True)
    assert len(site.json("messages")["items"]) == 3
    told = site.json(*words, "--reason", "lost", "--yes", "1")
    assert (told["done"], told["failed"]) == (1, [])
    assert site.json("show", told["created"][0])["replay_of"] == second


def test_a_replay_of_what_filters_find_goes_once_and_to_whom_it_names(site: Site) -> None:
    """If this failed, a second replay would double, or reach receivers nobody spoke of."""
    start(site)
    site.send(adt("C1", "7").replace(b"CANARYNAME^JOHN", b"X^Y|||M"))
    site.wait(lambda: len(site.receiver.got) == 1 and len(files(site)) == 1)
    words = ("replay", "--inbound", "his", "--as", "received", "--reason", "lost", "--yes", "1")
    assert site.run(*words)[0] == 0
    site.wait(lambda: len(site.receiver.got) == 2 and len(files(site)) == 2)
    code, out, err = site.run(*words, "--outbound", "archive")
    assert (code, "lis" in out) == (0, False), err
    site.wait(lambda: len(files(site)) == 3)
    assert len(site.receiver.got) == 2
    code, _, err = site.run("replay", "20261121-1", *words[1:])
    assert (code, "of ids or of what filters find" in err) == (2, True)
    code, _, err = site.run("replay", "20261121-1.1", "--as", "received", "--dry-run")
    assert (code, "is of whole messages" in err) == (2, True)


def test_an_output_that_is_damaged_is_made_anew_from_the_message(site: Site) -> None:
    """If this failed, a delivery whose bytes cannot be opened could never be sent."""
    site.start()
    site.run("pause", "lis")
    site.send(adt("C1", "7"), adt("C2", "8"))
    second, first = (item["message_id"] for item in site.json("messages")["items"])
    assert site.stop() == 0
    damage_body(site, first, 1)
    damage_body(site, second, 1)
    damage_body(site, second, 0)
    site.restart()
    site.run("resume", "lis")
    site.wait(lambda: site.outbound()["parked"] == 2)
    why = site.json("why", first, "--to", "lis")["items"][0]
    assert "damaged: its stored bytes cannot be opened" in why["why"]
    assert f"`medbus requeue {first}.1` runs the route again" in why["next_step"]
    words = ("requeue", "--outbound", "lis", "--reason", "disk mended", "--yes")
    code, _, err = site.run(*words, "2")
    assert (code, f"not {second}.1: " in err, "would requeue 1" in err) == (1, True, True)
    site.run(*words, "1")
    site.wait(lambda: site.receiver.ids() == ["C1"])
