"""
Works into transactions, one per day touched; a bad item is refused alone.

Rules of this file: arrivals go first, in the order given; each work is answered by its own day's
commit; nothing is told before that commit returned.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.model.errors import Fenced, MedbusError, NotFound, StoreFull
from engine.model.records import Arrival, Settlement
from engine.model.states import MessageState
from engine.security.keyring import EVIDENCE
from engine.store.accepting import Intake
from engine.store.core import Core
from engine.store.counting import Counting
from engine.store.day_chores import DayChores
from engine.store.followers import Followers
from engine.store.ids import parse_message_id
from engine.store.ledger import LIVE
from engine.store.packing import pack, unpack
from engine.store.records import AckGiven, IntakeLoss, Noted, Result, Work
from engine.store.seen import Seen
from engine.store.settling import Settling
from engine.store.tokens import Tokens
from engine.store.transaction import Transaction


class Committing:
    """Makes works durable; writer's thread only."""

    def __init__(
        self,
        core: Core,
        seen: Seen,
        followers: Followers,
        tokens: Tokens,
        chores: DayChores,
        counting: Counting,
    ) -> None:
        self._core = core
        self._seen = seen
        self._followers = followers
        self._tokens = tokens
        self._chores = chores
        self._counting = counting

    def group(self, work: Sequence[Work]) -> list[list[int]]:
        """Return one group per day, days with arrivals first, arrivals first within each."""
        arrivals: dict[str, list[int]] = {}
        others: dict[str, list[int]] = {}
        for index, item in enumerate(work):
            if isinstance(item, Arrival):
                arrivals.setdefault(item.message_id[:8], []).append(index)
            else:
                others.setdefault(_day_of(item), []).append(index)
        groups = [indexes + others.pop(day, []) for day, indexes in sorted(arrivals.items())]
        return groups + [indexes for _, indexes in sorted(others.items())]

    def commit(self, work: Sequence[Work]) -> list[Result | MedbusError]:
        """See the interface; ``Writer`` gives one group at a time."""
        answers: dict[int, Result | MedbusError] = {}
        for indexes in self.group(work):
            found = self._commit_group([work[index] for index in indexes])
            answers.update(zip(indexes, found, strict=True))
        return [answers[index] for index in range(len(work))]

    # -- one group -----------------------------------------------------------------------------

    def _commit_group(self, work: Sequence[Work]) -> list[Result | MedbusError]:
        try:
            return self._commit_day(work)
        except Fenced:
            raise
        except Exception as error:  # noqa: BLE001 - one bad item must not harm the batch
            self._core.check_fence()
            if len(work) == 1:
                return [_as_answer(error)]
        return self._commit_singly(work)

    def _commit_singly(self, work: Sequence[Work]) -> list[Result | MedbusError]:
        """Redo a batch that failed, one by one: a single bad item harms nobody else."""
        answers: list[Result | MedbusError] = []
        full: StoreFull | None = None
        for item in work:
            if full is not None and isinstance(item, Arrival):
                answers.append(full)
                continue
            (answer,) = self._commit_group([item])
            if isinstance(answer, StoreFull) and isinstance(item, Arrival):
                full = answer
            answers.append(answer)
        return answers

    def _commit_day(self, work: Sequence[Work]) -> list[Result | MedbusError]:
        day = _day_of(work[0])
        arrivals = [item for item in work if isinstance(item, Arrival)]
        if arrivals and not self._core.has_room(self._core.open_day(day, create=True)):
            return self._refuse_arrivals(work)
        create = any(isinstance(item, (Arrival, IntakeLoss)) for item in work)
        answers: list[Result | MedbusError] = []
        with self._core.transaction(day, create=create) as transaction:
            if arrivals:
                answers += Intake(self._core, self._seen, transaction).store(arrivals)
            settlements = [item for item in work if isinstance(item, Settlement)]
            settled = iter(
                Settling(self._core, self._followers, self._tokens, transaction).store(settlements)
                if settlements
                else ()
            )
            for item in work[len(arrivals) :]:
                if isinstance(item, Settlement):
                    answers.append(next(settled))
                else:
                    answers.append(self._note(transaction, item))
        with self._core.after_commit():
            self._after_commit(day, arrivals, answers)
        return answers

    def _refuse_arrivals(self, work: Sequence[Work]) -> list[Result | MedbusError]:
        rest = [item for item in work if not isinstance(item, Arrival)]
        answers: list[Result | MedbusError] = [StoreFull() for _ in range(len(work) - len(rest))]
        return answers + (self._commit_group(rest) if rest else [])

    def _note(self, transaction: Transaction, item: Work) -> Result | MedbusError:
        if isinstance(item, IntakeLoss):
            counts = transaction.tally.counts
            counts[item.inbound, LIVE, "discarded_bytes"] += item.discarded_bytes
            counts[item.inbound, LIVE, "refused_frames"] += item.refused_frames
            return Noted()
        assert isinstance(item, AckGiven)
        day, n = parse_message_id(item.message_id)
        row = transaction.connection.execute(
            "SELECT facts FROM messages WHERE n = ?", (n,)
        ).fetchone()
        if row is None:
            return NotFound(f"there is no message {item.message_id}")
        sealer = self._core.keys.sealer(day, EVIDENCE)
        place = b"v1|messages|%d|0|facts" % n
        parts = unpack(sealer.open(row[0], place))
        parts[1] = item.ack
        transaction.connection.execute(
            "UPDATE messages SET facts = ?, ack_code = ? WHERE n = ?",
            (transaction.file.evidence.seal(pack(*parts), place), item.code, n),
        )
        return Noted()

    def _after_commit(
        self, day: str, arrivals: Sequence[Arrival], answers: Sequence[Result | MedbusError]
    ) -> None:
        for arrival, answer in zip(arrivals, answers, strict=False):
            if not isinstance(answer, MedbusError) and not arrival.replay_of:
                state = getattr(answer, "state", MessageState.ACCEPTED)
                self._counting.add(arrival, state)
        self._chores.after_commit(day, has_arrivals=bool(arrivals))


def _day_of(item: Work) -> str:
    if isinstance(item, Settlement):
        return item.delivery_id[:8]
    if isinstance(item, IntakeLoss):
        return item.day
    return item.message_id[:8]


def _as_answer(error: Exception) -> MedbusError:
    if isinstance(error, MedbusError):
        return error
    return MedbusError(f"the store cannot take this ({type(error).__name__})", code="STO-003")
