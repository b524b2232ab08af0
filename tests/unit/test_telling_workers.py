"""Telling in a running daemon's parts: a real store, real workers, and channels that a test holds in its hand."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest
from rules_rig import engine
from telling_rig import BOSS, DUTY, JOURNAL, SIREN, SMS, happened, told

from edgegw.buffer.rows import decode_event
from edgegw.buffer.store import Buffer
from edgegw.clock import Clock
from edgegw.config.model import Config, Gateway, Paths, Store
from edgegw.config.notify_model import Route, TellingTable
from edgegw.errors import EdgegwError
from edgegw.rules.journal import Changes
from edgegw.rules.notifiers.model import Channel, Notice, TellingError
from edgegw.rules.told import Why
from edgegw.supervise import Notifier, Supervisor
from edgegw.telling import Telling
from edgegw.views_telling import TellingViews
from tests.uplink_rig import until

TELLING = TellingTable()
ROUTES = [Route(name="people", recipients=["duty"], channels=["sms"]), Route(name="log", channels=["journal"])]


class Held:
    """A channel that answers when the test lets it."""

    def __init__(self, name: str, *, answers: bool = True) -> None:
        self.name = name
        self.gate = asyncio.Event()
        self.taken: list[tuple[Notice, str]] = []
        self.faults: list[Exception] = []
        self.closed = False
        self.on_send: Callable[[Notice], None] = lambda _notice: None
        if answers:
            self.gate.set()

    async def send(self, notice: Notice, recipient: str) -> str:
        self.taken.append((notice, recipient))
        self.on_send(notice)
        await self.gate.wait()
        if self.faults:
            raise self.faults.pop(0)
        return "taken by the test"

    async def close(self) -> None:
        self.closed = True


class Running:
    """Supervisor, store and telling of one start."""

    def __init__(self, directory: Path, *channels: Channel) -> None:
        self.directory = directory
        self.config = Config(
            gateway=Gateway(operator="op", station="st", gateway="gw"),
            paths=Paths(state_dir=str(directory)),
            channel=[SMS, JOURNAL, SIREN],
            recipient=[DUTY, BOSS],
            route=ROUTES,
            telling=TELLING,
        )
        self.clock = Clock()
        self.buffer = Buffer.open(directory, self.clock, Store(), [], [], lambda _streams: None)
        self.supervisor = Supervisor(self.clock, Notifier(None))
        self.engine = engine(restored=self.buffer.states("rules/"), epoch=self.buffer.epoch)
        self.telling = Telling(self.config, [], self.clock, self.buffer, {channel.name: channel for channel in channels}, self.supervisor, self.engine)
        self.views = TellingViews(self.config, self.clock, self.telling)

    def accept(self, *changes: Changes) -> None:
        for change in changes:
            self.buffer.accept((), *self.telling.note(change))

    def stored(self) -> dict[str, bytes]:
        with closing(sqlite3.connect(self.directory / "edgegw.db")) as database:
            return dict(database.execute("SELECT key, value FROM state WHERE key LIKE 'notify/job/%'"))

    def notifications(self) -> list[dict[str, object]]:
        with closing(sqlite3.connect(self.directory / "edgegw.db")) as database:
            rows = database.execute("SELECT kind, device, at_ms, body FROM event WHERE kind = 'notification' ORDER BY number").fetchall()
        return [dict(decode_event(*row).body) for row in rows]


def raised(number: int = 1, **more: object) -> Changes:
    return Changes((happened(number, "raised"),), {}, (told(number, **more),))


def live(directory: Path, channels: Callable[[], list[Channel]], story: Callable[..., Awaitable[None]]) -> None:
    """The story gets the running parts and the channels; then everything ends as in the daemon."""

    async def body() -> None:
        made = channels()
        running = Running(directory, *made)
        try:
            running.telling.start()
            await story(running, *made)
        finally:
            await running.telling.end(hurry=False)
            await running.supervisor.end_all()
            running.buffer.close()

    asyncio.run(body())


def test_a_channel_that_hangs_holds_up_no_other(tmp_path):
    """
    The log has the alarm while the SMS still waits for its answer; then both results are stored and no notice is left.
    """

    async def story(running: Running, sms: Held, journal: Held) -> None:
        running.accept(raised())
        await until(lambda: len(running.notifications()) == 1)
        assert ["journal"] == [found["channel"] for found in running.notifications()]
        assert ["+861"] == [recipient for _, recipient in sms.taken]
        sms.gate.set()
        await until(lambda: len(running.notifications()) == 2)
        await until(lambda: not running.stored())
        assert {"delivered"} == {found["outcome"] for found in running.notifications()}

    live(tmp_path, lambda: [Held("sms", answers=False), Held("journal")], story)


def test_nobody_is_told_what_is_not_on_the_disk(tmp_path):
    """
    When a channel is called, the database has the alarm's event and the notice.
    """
    seen: list[tuple[int, list[str]]] = []

    async def story(running: Running, sms: Held, journal: Held) -> None:
        def look(notice: Notice) -> None:
            with closing(sqlite3.connect(tmp_path / "edgegw.db")) as database:
                events = database.execute("SELECT count(*) FROM event WHERE kind = 'alarm'").fetchone()[0]
            seen.append((events, [key.removeprefix("notify/job/") for key in running.stored()]))
            assert notice.notice_id in seen[-1][1]

        journal.on_send = look
        running.accept(raised())
        await until(lambda: seen)

    live(tmp_path, lambda: [Held("sms"), Held("journal")], story)
    assert 1 == seen[0][0]


def test_a_failed_attempt_is_made_again_and_the_channels_words_are_kept(tmp_path, monkeypatch):
    """
    The second one delivers: two attempts stand in the event, under the same notice id.
    """
    monkeypatch.setattr("test_telling_workers.TELLING", TellingTable(retry_first_s=0.04))

    async def story(running: Running, sms: Held, _journal: Held) -> None:
        sms.faults = [TellingError("E-TELL-SERVER", "no network")]
        running.accept(raised())
        await until(lambda: [found for found in running.notifications() if found["channel"] == "sms"])
        found = next(found for found in running.notifications() if found["channel"] == "sms")
        assert ("delivered", 2, "taken by the test") == (found["outcome"], found["attempts"], found["detail"])
        assert 1 == len({notice.notice_id for notice, _ in sms.taken})

    live(tmp_path, lambda: [Held("sms"), Held("journal")], story)


@pytest.mark.parametrize("fault", [OSError("cable"), TimeoutError(), RuntimeError("a mistake of ours")], ids=lambda fault: type(fault).__name__)
def test_whatever_a_channel_raises_costs_no_notice(tmp_path, monkeypatch, fault):
    """
    A fault of the world is an attempt that failed; a mistake of ours restarts the worker, and the notice is delivered all the same.
    """
    monkeypatch.setattr("test_telling_workers.TELLING", TellingTable(retry_first_s=0.04))
    monkeypatch.setattr("edgegw.supervise.RESTART_FIRST_MS", 40)

    async def story(running: Running, sms: Held, _journal: Held) -> None:
        sms.faults = [fault]
        running.accept(raised())
        await until(lambda: "sms" in {found["channel"] for found in running.notifications()})
        assert 2 == len(sms.taken)

    live(tmp_path, lambda: [Held("sms"), Held("journal")], story)


def test_what_is_under_way_at_the_end_gets_its_answer(tmp_path):
    """
    A notice whose answer comes within a moment is not told again by the next start; its channel is closed.
    """

    async def story(running: Running, sms: Held, _journal: Held) -> None:
        running.accept(raised())
        await until(lambda: sms.taken)
        asyncio.get_running_loop().call_later(0.3, sms.gate.set)
        await running.telling.end(hurry=False)
        assert sms.closed

    live(tmp_path, lambda: [Held("sms", answers=False), Held("journal")], story)

    async def again(running: Running, sms: Held, _journal: Held) -> None:
        running.accept(raised(2))
        await until(lambda: sms.taken)
        assert ["#2"] == [notice.subject.rpartition(" ")[2] for notice, _ in sms.taken]

    live(tmp_path, lambda: [Held("sms"), Held("journal")], again)


def test_what_had_no_answer_at_the_end_is_told_by_the_next_start(tmp_path):
    """
    Under the same notice id; that it has ended meanwhile stands in it.
    """
    ids: list[str] = []

    async def story(running: Running, sms: Held, _journal: Held) -> None:
        running.accept(raised())
        await until(lambda: sms.taken)
        ids.extend(notice.notice_id for notice, _ in sms.taken)
        await running.telling.end(hurry=True)

    live(tmp_path, lambda: [Held("sms", answers=False), Held("journal")], story)

    async def again(running: Running, sms: Held, _journal: Held) -> None:
        await until(lambda: sms.taken)
        running.accept(Changes((happened(1, "cleared", closed=True),), {}, (told(1, Why.CLEARED),)))
        await until(lambda: len(sms.taken) == 2)
        assert ids == [sms.taken[0][0].notice_id]
        assert "已恢复" in sms.taken[1][0].subject

    live(tmp_path, lambda: [Held("sms"), Held("journal")], again)


def test_a_channel_that_reaches_nobody_for_a_while_is_an_alarm_that_the_others_tell(tmp_path, monkeypatch):
    """
    The log hears that SMS fails and why, and that it works again.
    """
    monkeypatch.setattr("test_telling_workers.TELLING", TellingTable(retry_first_s=0.04))
    monkeypatch.setattr("edgegw.rules.notifiers.queue.FAILING_AFTER_MS", 100)
    monkeypatch.setattr("edgegw.telling.TICK_MS", 50)

    async def story(running: Running, sms: Held, journal: Held) -> None:
        sms.faults = [TellingError("E-TELL-SERVER", "no network")] * 200
        running.accept(raised())
        await until(lambda: [notice for notice, _ in journal.taken if "reaches nobody: E-TELL-SERVER: no network" in notice.text])
        assert "edgegw alarms test all" in journal.taken[-1][0].text
        sms.faults = []
        await until(lambda: [notice for notice, _ in journal.taken if "reaches nobody" in notice.text and "ended" in notice.subject])

    live(tmp_path, lambda: [Held("sms"), Held("journal")], story)


def test_a_channel_that_failed_before_a_start_fails_until_it_delivers(tmp_path, monkeypatch):
    """
    A start alone ends the alarm of it for nobody, and raises no second one.
    """
    monkeypatch.setattr("test_telling_workers.TELLING", TellingTable(retry_first_s=0.04))
    monkeypatch.setattr("edgegw.rules.notifiers.queue.FAILING_AFTER_MS", 100)
    monkeypatch.setattr("edgegw.telling.TICK_MS", 50)
    numbers: list[int] = []

    async def story(running: Running, sms: Held, journal: Held) -> None:
        sms.faults = [TellingError("E-TELL-SERVER", "no network")] * 2000
        running.accept(raised())
        await until(lambda: [notice for notice, _ in journal.taken if "reaches nobody" in notice.text])
        numbers.extend(alarm.number for alarm in running.engine.open_alarms())
        await until(lambda: len(running.notifications()) == 2)

    live(tmp_path, lambda: [Held("sms"), Held("journal")], story)

    async def again(running: Running, sms: Held, journal: Held) -> None:
        sms.faults = [TellingError("E-TELL-SERVER", "no network")] * 2000
        running.accept(running.engine.tick(*running.telling._now()))
        await until(lambda: len(sms.taken) > 3)
        assert (numbers, []) == ([alarm.number for alarm in running.engine.open_alarms()], journal.taken)
        sms.faults = []
        await until(lambda: journal.taken)
        assert ("ended", []) == (journal.taken[0][0].subject.split()[-2], running.engine.open_alarms())

    live(tmp_path, lambda: [Held("sms"), Held("journal")], again)


def test_a_recipient_whom_a_channel_cannot_reach_is_an_alarm(tmp_path, monkeypatch):
    """
    A notice that is refused for good is not tried again: the others hear at once whom it did not reach, until something reaches that one.
    """
    monkeypatch.setattr("edgegw.telling.TICK_MS", 50)

    async def story(running: Running, sms: Held, journal: Held) -> None:
        refusal = TellingError("E-TELL-RECIPIENT", "the number does not exist")
        refusal.later = False
        sms.faults = [refusal]
        running.accept(raised())
        await until(lambda: [notice for notice, _ in journal.taken if "channel sms does not reach duty: E-TELL-RECIPIENT" in notice.text])
        await until(lambda: [notice for notice, _ in journal.taken if "does not reach duty" in notice.text and "ended" in notice.subject])
        assert ["refused", "delivered"] == [found["outcome"] for found in running.notifications() if found["channel"] == "sms"][:2]

    live(tmp_path, lambda: [Held("sms"), Held("journal")], story)


def test_a_siren_calls_nobody_for_what_is_over_or_in_hand(tmp_path, monkeypatch):
    """
    An order that failed is not given again when its alarm has been acknowledged meanwhile; that it was not is written down.
    """
    monkeypatch.setattr("test_telling_workers.TELLING", TellingTable(retry_first_s=0.6))
    monkeypatch.setattr("test_telling_workers.ROUTES", [Route(name="noise", channels=["siren"])])

    async def story(running: Running, siren: Held) -> None:
        siren.faults = [TellingError("E-SWITCH-ANSWER", "no answer")]
        running.accept(raised())
        await until(lambda: siren.taken and not siren.faults)
        running.accept(Changes((happened(1, "acknowledged", by="li"),)))
        await until(running.notifications)
        assert ["needless"] == [found["outcome"] for found in running.notifications()]
        assert 1 == len(siren.taken)

    live(tmp_path, lambda: [Held("siren")], story)


def test_a_mistake_in_telling_costs_no_alarm(tmp_path, monkeypatch):
    """
    Events and states go into the store as they are, and the log has the traceback.
    """

    async def story(running: Running, _sms: Held, _journal: Held) -> None:
        monkeypatch.setattr(running.telling.teller, "note", lambda *_: 1 / 0)
        changes = Changes((happened(1, "raised"),), {"rules/x": b"1"}, (told(1),))
        assert (changes.events, changes.states) == running.telling.note(changes)

    live(tmp_path, lambda: [Held("sms"), Held("journal")], story)


def test_a_notice_that_cannot_be_written_is_told_in_one_line(tmp_path, monkeypatch, caplog):
    """
    A mistake of ours in its words holds up neither this notice nor the others, and the log has the traceback.
    """

    async def story(running: Running, sms: Held, _journal: Held) -> None:
        monkeypatch.setattr(running.telling._writer, "message", lambda *_: 1 / 0)
        running.accept(raised(7), raised(8))
        await until(lambda: len(sms.taken) == 2)
        assert [7, 8] == [int(notice.short.rpartition("#")[2]) for notice, _ in sms.taken]

    live(tmp_path, lambda: [Held("sms"), Held("journal")], story)
    assert "ZeroDivisionError" in caplog.text


def test_a_test_tells_each_recipient_and_says_what_came_of_it(tmp_path):
    """
    Sent, failed with the channel's words, or nobody there; each is written down as a test, and an unknown channel is refused.
    """
    results: list[dict[str, object]] = []

    async def story(running: Running, sms: Held, journal: Held) -> None:
        sms.faults = [TellingError("E-TELL-REFUSED", "number refused")]
        results.extend((await running.views.test({"channel": "all"}))["results"])
        assert ["测试", "TEST"] == [notice.subject[1:].partition("]")[0] for notice, _ in sms.taken]
        assert [""] == [recipient for _, recipient in journal.taken]
        with pytest.raises(EdgegwError, match="journal"):
            await running.views.test({"channel": "fax"})
        await until(lambda: len(running.notifications()) == 3)
        assert {"test"} == {found["why"] for found in running.notifications()}

    live(tmp_path, lambda: [Held("sms"), Held("journal")], story)
    assert [("sms", "duty", "failed"), ("sms", "boss", "delivered"), ("journal", "", "delivered")] == [
        (found["channel"], found["recipient"], found["outcome"]) for found in results
    ]
    assert "number refused" in json.dumps(results)


def test_what_waits_can_be_asked_for(tmp_path):
    """
    The notice under way is listed with its alarm, attempts and channel.
    """

    async def story(running: Running, sms: Held, _journal: Held) -> None:
        running.accept(raised(7))
        await until(lambda: sms.taken)
        found = await running.views.notices({})
        waiting = [one for one in found["waiting"] if one["channel"] == "sms"]
        assert [("duty", [7], 0, True)] == [(one["recipient"], one["numbers"], one["attempts"], one["under_way"]) for one in waiting]

    live(tmp_path, lambda: [Held("sms", answers=False), Held("journal")], story)
