"""Whatever alarms, people, channels and restarts do: everything is told once, in its order, and nothing is left."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st
from telling_rig import Station, happened, moment, told

from edgegw.config.notify_model import Route
from edgegw.rules import limits
from edgegw.rules.flood import SINGLE_LEVELS
from edgegw.rules.levels import rank
from edgegw.rules.notifiers.job import Job
from edgegw.rules.told import Why

ROUTES = (Route(name="r", recipients=["duty"], escalate_after_min=3, escalate_to=["boss"]),)
DEEDS = ["raise"] * 6 + ["clear"] * 3 + ["ack", "fail", "fail", "break off", "restart", "wait", "wait"] + ["deliver"] * 3
LEVELS = ["critical", "major", "minor"]


@st.composite
def dense(draw: st.DrawFn) -> list[tuple[str, int, str]]:
    """Up to seventy deeds on fourteen alarms; by chance alone, so that most of them mean something."""
    chance = draw(st.randoms(use_true_random=False))
    return [(chance.choice(DEEDS), chance.randint(0, 13), chance.choice(LEVELS)) for _ in range(draw(st.integers(5, 70)))]


STEPS = dense()
# A storm is reached within a few steps.
LIMITS = limits.LIMITS._replace(storm_notices=3, storm_notices_severe=5)
STORM_SPAN_MS = LIMITS.storm_span_ms


class Play:
    """A station to which a list of steps happens; keeps what each person was told of each alarm."""

    def __init__(self) -> None:
        self.station = Station(*ROUTES, limits=LIMITS)
        self.minute = 0.0
        self.open: set[int] = set()
        self.raised: set[int] = set()
        self.cleared: set[int] = set()
        self.acknowledged: set[int] = set()
        self.heard: dict[tuple[str, int], list[str]] = defaultdict(list)
        self.times: dict[tuple[str, bool], list[int]] = defaultdict(list)
        self.sent: list[Job] = []

    def take(self, name: str, number: int, level: str) -> None:
        at = self.minute
        match name:
            case "raise" if number not in self.raised:
                self.raised.add(number)
                self.open.add(number)
                self.station.note(told(number, minute=at, level=level), minute=at)
            case "clear" if number in self.open:
                self.open.discard(number)
                self.cleared.add(number)
                end = told(number, Why.CLEARED, minute=at, level=level)
                self.station.note(happened(number, "cleared", at, closed=True), end, minute=at)
            case "ack" if number in self.open:
                self.acknowledged.add(number)
                self.station.note(happened(number, "acknowledged", at, by="li"), minute=at)
            case "deliver":
                self.deliver()
            case "fail":
                self.station.fail(at)
            case "break off":
                job = self.station.pick(at)
                if job is not None:
                    self.station.queue.abandoned(job)
                    self.station.keep()
            case "restart":
                self.station.restart(moment(at))
            case "wait":
                self.minute += number / 3
                self.station.tick(self.minute)

    def deliver(self) -> bool:
        job = self.station.deliver(self.minute)
        if job is not None:
            self._hear(job)
        return job is not None

    def _hear(self, job: Job) -> None:
        if not job.is_urgent:
            self.times[job.target.recipient, job.is_severe].append(moment(self.minute).mono_ms)
        self.sent.append(job)
        for one in job.episodes:
            self.heard[job.target.recipient, one.number].extend(_said(job, ended=one.cleared_at_ms is not None))

    def finish(self) -> None:
        """Time goes on until nothing waits."""
        for _ in range(1000):
            while self.deliver():
                pass
            if not len(self.station.queue):
                return
            due = self.station.queue.due_ms("sms", moment(self.minute))
            assert due is not None, "what waits has its time"
            self.minute = max(self.minute, due / 60_000) + 0.001


def _said(job: Job, *, ended: bool) -> list[str]:
    match job.told.why:
        case Why.CLEARED:
            return ["end"]
        case Why.SUMMARY:
            return ["sum"] if not ended else ["sum", "end"]
    return ["alarm", "end"] if job.ended_at_ms is not None else ["alarm"]


@settings(max_examples=250, deadline=None)
@given(STEPS)
def test_everything_is_told_once_and_in_its_order(steps):
    """
    Each alarm reaches its person once, its end once and never before it, by itself or in a summary, over failures, broken attempts and restarts; nothing of an alarm that is over is kept.
    """
    play = Play()
    for name, number, level in steps:
        play.take(name, number, level)
    play.finish()
    for number in play.raised:
        said = [word.replace("sum", "alarm") for word in play.heard["duty", number]]
        assert "alarm" == said[0]
        assert (number in play.cleared) == ("end" in said)
        assert said.count("end") <= 1
        assert said.count("alarm") <= (2 if "sum" in play.heard["duty", number] else 1)
    assert {number for who, number in play.heard if who == "duty"} == play.raised
    play.station.tick(play.minute + 10)
    left = {key.rpartition("-")[2] for key in play.station.store if key.startswith("notify/case/")}
    assert {str(number) for number in play.open} == left


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_nobody_gets_more_than_the_limit(steps):
    """
    Without a restart no person has more than the limit of a level in ten minutes, save of the most severe.
    """
    play = Play()
    for name, number, level in steps:
        if name != "restart":
            play.take(name, number, level)
    play.finish()
    for (_, is_severe), times in play.times.items():
        spans = [sum(start <= at < start + STORM_SPAN_MS for at in times) for start in times]
        assert max(spans) <= (LIMITS.storm_notices_severe if is_severe else LIMITS.storm_notices)


@st.composite
def storms(draw: st.DrawFn) -> list[tuple[str, int, str]]:
    """Up to a hundred alarms that do not end, among attempts that succeed or fail, waits and restarts."""
    chance = draw(st.randoms(use_true_random=False))
    deeds = ["raise"] * 12 + ["deliver"] * 4 + ["fail", "break off", "restart", "wait"]
    levels = ["critical", "major", "major", "minor", "minor", "notice"]
    return [(chance.choice(deeds), number, chance.choice(levels)) for number in range(draw(st.integers(10, 160)))]


@settings(max_examples=200, deadline=None)
@given(storms())
def test_what_the_limit_holds_back_is_in_exactly_one_summary(steps):
    """
    Every alarm of a storm reaches its person once, singly or counted in one summary of its own levels, by name where the summary has room; critical ones always singly.
    """
    play = Play()
    for name, number, level in steps:
        play.take(name, number % 3 if name == "wait" else number, level)
    play.finish()
    sent = [job for job in play.sent if job.target.recipient == "duty"]
    assert len(play.raised) == sum(job.told.count for job in sent)
    named = [episode.number for job in sent for episode in job.episodes]
    assert len(named) == len(set(named))
    assert all(len(job.episodes) == min(job.told.count, 20) for job in sent)
    assert all(len({rank(episode.facts.level) < SINGLE_LEVELS for episode in job.episodes}) == 1 for job in sent)
    assert all(job.told.why is Why.RAISED for job in sent if job.is_urgent)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_the_next_is_told_only_of_what_nobody_has_in_hand(steps):
    """
    The boss hears of no alarm that was acknowledged or over within three minutes of its raise, and of every other one.
    """
    play = Play()
    since: dict[int, int] = {}
    handled: set[int] = set()
    late: set[int] = set()
    for name, number, level in steps:
        if name == "raise" and number not in play.raised:
            since[number] = moment(play.minute).mono_ms
        if name in {"clear", "ack"} and number in play.open and number not in late:
            handled.add(number)
        if name != "restart":
            play.take(name, number, level)
        late |= {alarm for alarm, at in since.items() if alarm not in handled and moment(play.minute).mono_ms - at >= 180_000}
    play.finish()
    assert late == {number for who, number in play.heard if who == "boss"}
