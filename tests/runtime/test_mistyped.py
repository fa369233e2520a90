"""What is typed wrongly is told, never answered with "nothing"."""

from __future__ import annotations

from tests.runtime.running import Site, adt


def test_a_name_that_nothing_has_is_refused(site: Site) -> None:
    """If this failed, a typing error would read as "there is nothing parked"."""
    site.start()
    for words, meant in (
        (("messages", "--outbound", "lsi"), "lis"),
        (("messages", "--inbound", "hsi"), "his"),
        (("requeue", "--route", "al", "--dry-run"), "all"),
        (("replay", "--outbound", "lsi", "--as", "sent", "--dry-run"), "lis"),
        (("why", "--outbound", "lsi", "--to", "lis"), "lis"),
    ):
        code, _, err = site.run(*words)
        assert (code, f"did you mean {meant}?" in err) == (1, True), words
    for words in (("messages", "--outbound", "lis"), ("why", "--control-id", "C9", "--to", "lis")):
        assert site.run(*words) == (0, "", "no message matches\n")


def test_the_next_shift_hears_of_changes_and_not_of_looks(site: Site) -> None:
    """If this failed, what was done in the night would drown in what was looked at."""
    site.start()
    site.send(adt("C1", "7"))
    message = site.json("messages")["items"][0]["message_id"]
    site.run("why", message, "--to", "lis")
    site.run("trace", message)
    site.run("pause", "lis", "--reason", "LIS moves")
    assert [row["verb"] for row in site.json("handover")["actions"]] == ["pause"]
