"""How one source is asked: its question, or the parts that are left of it, each when the late-answer guard allows, through a line that may have closed."""

from __future__ import annotations

from collections.abc import Sequence

from edgegw.bus.holes import REFUSALS_MAX, Heard, HoleBook, SourceHoles, is_refusal
from edgegw.bus.keeper import LineKeeper
from edgegw.bus.patience import Patience
from edgegw.bus.readings import is_alive
from edgegw.bus.schedule import Link, Slot
from edgegw.bus.transaction import Transactions
from edgegw.clock import Clock
from edgegw.model import Answer, Fault, Question

# Follow-up frames of one answer: the longest answer of any protocol here has fewer; a device that always has more to say is at fault.
FOLLOWS_MAX = 20


class Asker:
    """Of one bus. One question at a time: the bus task's turn is what keeps it so."""

    def __init__(self, transactions: Transactions, keeper: LineKeeper, holes: HoleBook, clock: Clock) -> None:
        self.asking = False
        """A question is under way."""
        self._transactions = transactions
        self._keeper = keeper
        self.holes = holes
        self._clock = clock
        self.patience = Patience(transactions.line.bus)
        self._statistics = transactions.statistics

    async def ask_source(self, slot: Slot) -> list[Answer] | Heard | Fault | None:
        """All answers of the source, or the first fault; None when a question must not be asked yet."""
        if not slot.planned.questions:
            return Fault("timeout", "it is silent") if slot.link.silent else Fault("unresolved", "it did not say where these points are")
        holes = self.holes.of(slot.planned)
        if holes.division is not None:
            holes.forget_if_due(self._clock.mono_ms())
            if holes.parts:
                return await self._ask_parts(slot.link, holes)
        left = list(slot.planned.questions[::-1])
        answers: list[Answer] = []
        follows = 0
        while left:
            question = left.pop()
            result = await self.ask_one(slot.link, question)
            if not isinstance(result, Answer):
                if result is None or not is_refusal(result) or not holes.may_divide:
                    return result
                holes.refuse_whole()
                return await self._ask_parts(slot.link, holes) if holes.parts else result
            answers.append(result)
            if question.follow is not None and (more := question.follow(result)) is not None:
                left.append(more)
                follows += 1
                if follows > FOLLOWS_MAX:
                    return Fault("noise", "it always has more to say")
        if not holes.is_whole:
            holes.answered_whole()
            self.holes.settle(holes, self._clock.mono_ms())
        return answers

    async def _ask_parts(self, link: Link, holes: SourceHoles) -> Heard | Fault | None:
        """The parts that are known to be answered or not yet known to be refused; each refusal makes new ones of them."""
        answers: dict[tuple[int, int], Answer] = {}
        refusal: Fault | None = None
        refusals = 0
        while refusals < REFUSALS_MAX and (part := next((part for part in holes.parts if part.pieces not in answers), None)):
            result = await self.ask_one(link, part.question)
            if isinstance(result, Answer):
                answers[part.pieces] = result
            elif isinstance(result, Fault) and is_refusal(result):
                refusal, refusals = result, refusals + 1
                holes.refuse(part.pieces)
            else:
                return result
        if holes.division is None or not holes.parts:
            self.holes.settle(holes, self._clock.mono_ms())
            return refusal
        heard = Heard(holes.division, answers)
        if heard.complete:
            self.holes.settle(holes, self._clock.mono_ms())
        return heard

    async def ask_one(self, link: Link, question: Question) -> Answer | Fault | None:
        """One question, on a new connection where the server closed the old one; None when it must not be asked yet."""
        if self._transactions.blocked_until_ns(question):
            result = await self._ask_behind_resync(link, question)
        else:
            result = await self.ask(link, question, self.patience.wait_ms(link.plan.unit, question))
        if isinstance(result, Fault) and result.kind == "closed" and self._transactions.line.is_open:
            result = await self._ask_behind_resync(link, question)
        return result

    async def _ask_behind_resync(self, link: Link, question: Question) -> Answer | Fault | None:
        blocked = self._transactions.blocked_until_ns
        if blocked(question) and (fault := await self._resync(link, question)):
            return fault
        return None if blocked(question) else await self.ask(link, question, self.patience.wait_ms(link.plan.unit, question))

    async def _resync(self, link: Link, question: Question) -> Fault | None:
        """Asks a part of the question that no late answer can be mistaken for, to prove that none can come. A fault only when nothing answers."""
        for part in question.resync:
            if not self._transactions.blocked_until_ns(part):
                self._statistics.unit(link.plan.unit).resyncs += 1
                result = await self.ask(link, part, self.patience.wait_ms(link.plan.unit, part))
                return result if isinstance(result, Fault) and not is_alive(result) else None
        return None

    async def ask(self, link: Link, question: Question, timeout_ms: float) -> Answer | Fault:
        self.asking = True
        plan = link.plan
        result = await self._transactions.ask(question, timeout_ms, plan.unit, plan.gap_ms)
        is_new = isinstance(result, Fault) and result.kind == "closed" and await self._keeper.open_again()
        if is_new and not self._transactions.blocked_until_ns(question):  # Through a serial server the answer may still come, on the new connection.
            result = await self._transactions.ask(question, timeout_ms, plan.unit, plan.gap_ms)
        self.asking = False
        self.patience.learn(question, result, plan.unit, self._statistics.unit(plan.unit))
        if isinstance(result, Answer) or result.exception_code is not None:
            self.proven()
        return result

    def proven(self) -> None:
        """An answer came on the open line."""
        self._keeper.answered()

    # -- the late-answer guard

    def is_held(self, slot: Slot) -> bool:
        """Whether some question of the source can be asked in no way yet."""
        blocked = self._transactions.blocked_until_ns
        return any(blocked(question) and all(map(blocked, question.resync)) for question in self._questions(slot))

    def held_until_ms(self, slot: Slot) -> int:
        until_ns = max(self._transactions.blocked_until_ns(question) for question in self._questions(slot))
        return max(self._clock.mono_ms(), self._clock.mono_ms(until_ns) + 1)  # It may be over meanwhile.

    def _questions(self, slot: Slot) -> Sequence[Question]:
        parts = self.holes.of(slot.planned).parts
        return [part.question for part in parts] if parts else slot.planned.questions
