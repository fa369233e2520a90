"""What every store does with the record of method and the links of de-identified outputs."""

from __future__ import annotations

from engine.deid.vault import LookUp
from engine.model.records import LinkedNumber
from engine.store.interface import Store
from engine.store.operation_records import OperationItem
from tests.store.builders import DAY, accept, arrival, delivery, operate, parked

ASKED = LookUp("dr.li", "recall", 1_793_500_200.0, "", "ABCDEFGH")
LINK = LinkedNumber("research", "b9cdf253", "MR\x1fHOSP", "ABCDEFGH", "8800123")


class VaultConformance:
    """Methods and links."""

    def test_the_method_is_kept_with_each_output(self, store: Store) -> None:
        """It is read back as it was given; an output that was not de-identified has none."""
        accept(store, arrival(1, delivery(1, method="own 1f2e 3d4c"), delivery(2)))
        methods = [one.method for one in store.get_message(f"{DAY}-1").deliveries]
        assert methods == ["own 1f2e 3d4c", ""]

    def test_links_are_kept_once_the_arrival_is(self, store: Store) -> None:
        """Without links there is no vault; with them it answers, with the type it stands for."""
        accept(store, arrival(1, delivery(1)))
        assert store.vault is None
        accept(store, arrival(2, delivery(1, links=(LINK, LINK))), arrival(3, delivery(1)))
        assert store.vault is not None
        assert store.vault.counts() == {"research": 1}
        found = store.vault.find_original(ASKED)
        assert found == ("research", "MR\x1fHOSP", "8800123")
        assert store.vault.find_original(ASKED._replace(key_name="other")) is None

    def test_a_rerun_keeps_its_method_and_links(self, store: Store) -> None:
        """What stands in the place of a parked delivery is recorded like any other."""
        accept(store, arrival(1, parked()))
        new = delivery(0, body=b"rerun", method="own 5a6b 3d4c", links=(LINK,))
        operate(store, "requeue", items=(OperationItem(f"{DAY}-1.1", (new,), "snap"),))
        assert store.get_delivery(f"{DAY}-1.2").method == "own 5a6b 3d4c"
        assert store.vault is not None
        assert store.vault.find_original(ASKED) is not None

    def test_destroying_forgets_one_key_s_links(self, store: Store) -> None:
        """What stands under another key stays."""
        other = LINK._replace(key_name="other", pseudonym="ZZZZ")
        accept(store, arrival(1, delivery(1, links=(LINK, other))))
        assert store.vault is not None
        assert store.vault.destroy("research") == 1
        assert store.vault.find_original(ASKED) is None
        assert store.vault.counts() == {"other": 1}
