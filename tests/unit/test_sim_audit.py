"""The audit: it accepts a faultless way of the data, and finds each kind of fault that is planted."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

import msgspec
import pytest

from edgegw.errors import EdgegwError
from edgegw.sim.audit import audit, layout_of
from edgegw.sim.journal import Entry, Journal, read

GATEWAY = "op/st/gw"
DECIMALS = {"M-1": {"voltage": 1, "current": 2, "energy.import": 2, "ups.status": 0}}
T0_MS = 1_795_000_000_000
TABLE = "CREATE TABLE readings(gateway, epoch, stream, seq, device, point, read_at_ms, value, quality, clock, PRIMARY KEY (gateway, epoch, stream, seq, point))"


def answer(number, values, *, at_ms=None, address=0, count=4, **more):
    """One answer, a second after the one before."""
    finished_ms = T0_MS + 1000 * number if at_ms is None else at_ms
    facts = {"exception": None, "whole": True, **more}
    finished_ns = (finished_ms - T0_MS) * 1_000_000
    return Entry("M-1", "rs485a", 1, number, 3, address, count, finished_ns - 50_000_000, finished_ns, finished_ms, facts["exception"], facts["whole"], values)


def electrical(number):
    return answer(number, {"voltage": 2300 + number, "current": 100 * number})


def rows_of(entries, late_ms=3, first_seq=1, epoch="e1", stream=3):
    """What a faultless gateway makes of them: one tuple (epoch, stream, seq, device, point, read_at_ms, value, quality) a value."""
    return [
        (
            epoch,
            stream,
            seq,
            entry.device,
            point,
            entry.finished_ms + late_ms,
            value if isinstance(value, str) else value * 10 ** -DECIMALS["M-1"][point],
            "good",
        )
        for seq, entry in enumerate(entries, first_seq)
        for point, value in entry.values.items()
    ]


@pytest.fixture
def judge(tmp_path):
    def run(entries, rows, kills=(), wanted=None):
        journal = Journal(tmp_path / "journal.jsonl", DECIMALS)
        for entry in entries:
            journal.write(entry)
        journal.close()
        with closing(sqlite3.connect(tmp_path / "cloud.db")) as sink, sink:
            sink.execute(TABLE)
            sink.executemany("INSERT INTO readings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'synchronised')", [(GATEWAY, *row) for row in rows])
        return audit(tmp_path / "journal.jsonl", tmp_path / "cloud.db", GATEWAY, kills, wanted)

    return run


def findings(found):
    return found.lost_count, found.duplicates, found.wrong, found.unexplained


ANSWERS = [electrical(number) for number in range(1, 21)]
ROWS = rows_of(ANSWERS)


def test_a_faultless_way_passes(judge):
    """
    When each answer is there once, with value and time, the verdict is good and counts everything.
    """
    found = judge(ANSWERS, ROWS)
    assert found.ok
    assert (0, 0, 0, 0) == findings(found)
    assert (1, 20, 20, 40, 3, 3) == (found.devices, found.answers, found.matched, found.values_received, found.time_error_ms_p99, found.time_error_ms_max)


def shifted(rows, seq, by_ms):
    return [(*row[:5], row[5] + by_ms, *row[6:]) if row[2] == seq else row for row in rows]


def altered(rows, seq, point, **new):
    return [(*row[:6], new.get("value", row[6]), new.get("quality", row[7])) if (row[2], row[4]) == (seq, point) else row for row in rows]


FAULTS = {
    "a missing reading": ([row for row in ROWS if row[2] != 7], (1, 0, 0, 0)),
    "a missing value": ([row for row in ROWS if row[2:5:2] != (7, "current")], (1, 0, 0, 1)),
    "the last one missing": ([row for row in ROWS if row[2] != 20], (1, 0, 0, 0)),
    "nothing at all": ([], (20, 0, 0, 0)),
    "a doubled reading": (ROWS + rows_of([ANSWERS[4]], first_seq=99), (0, 1, 0, 0)),
    "a doubled reading of another start": (ROWS + rows_of([ANSWERS[4]], epoch="e2"), (0, 1, 0, 0)),
    "a doubled reading a little later": (ROWS + rows_of([ANSWERS[4]], first_seq=99, late_ms=40), (0, 1, 0, 0)),
    "an altered value": (altered(ROWS, 9, "voltage", value=230.8), (0, 0, 1, 0)),
    "a value off by one digit": (altered(ROWS, 9, "current", value=9.01), (0, 0, 1, 0)),
    "a good value that came as bad": (altered(ROWS, 9, "current", value=None, quality="bad"), (0, 0, 1, 0)),
    "a zero for a value": (altered(ROWS, 9, "current", value=0.0), (0, 0, 1, 0)),
    "a reading at another time": (shifted(ROWS, 5, -3_600_000), (1, 0, 0, 1)),
    "a reading a second late": (shifted(ROWS, 5, 1000), (1, 0, 0, 1)),
    "a reading of no answer": ([*ROWS, ("e1", 3, 77, "M-1", "voltage", T0_MS + 5500, 230.0, "good")], (0, 0, 0, 1)),
    "a device that is not there": ([*ROWS, ("e1", 3, 77, "M-9", "voltage", T0_MS + 5000, 230.0, "good")], (0, 0, 0, 1)),
    "an energy reading of no answer": ([*ROWS, ("e1", 2, 3, "M-1", "energy.import", T0_MS, 1.0, "good")], (0, 0, 0, 1)),
    "two times under one identity": ([*ROWS, ("e1", 3, 3, "M-1", "energy.import", T0_MS, 1.0, "good")], (1, 1, 0, 1)),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(judge, name):
    """
    One fault in the receiver's database fails the verdict and is counted under its own name, and nothing else is.
    """
    rows, expected = FAULTS[name]
    found = judge(ANSWERS, rows)
    assert expected == findings(found), found
    assert not found.ok
    assert (expected[0] > 0) == bool(found.lost)
    assert (sum(expected[1:]) > 0) == bool(found.examples)


@pytest.mark.parametrize(("late", "ok"), [(50, True), (51, False), (400, False)])
def test_times_count(judge, late, ok):
    """
    Readings are right only when 99 % of their times are within 50 ms of the device's last byte.
    """
    found = judge(ANSWERS, rows_of(ANSWERS, late_ms=late))
    assert (late, late, ok) == (found.time_error_ms_p99, found.time_error_ms_max, found.ok)
    assert (0, 0, 0, 0) == findings(found)


def test_a_kill_excuses_what_is_missing_but_not_what_is_wrong(judge):
    """
    Answers that touch the interval before a kill may be missing; one that is there must be right, one outside must be there.
    """
    kill = [(4_800_000_000, 6_020_000_000)]
    without = [row for row in ROWS if row[2] not in (5, 6)]
    found = judge(ANSWERS, without, kill)
    assert (True, 2, 18) == (found.ok, found.excused, found.matched)


def test_a_kill_excuses_no_wrong_value(judge):
    """
    An altered value inside the excused interval is wrong all the same, and so is a loss outside.
    """
    rows = [row for row in altered(ROWS, 5, "voltage", value=1.0) if row[2] != 9]
    found = judge(ANSWERS, rows, [(4_800_000_000, 6_020_000_000)])
    assert (1, 0, 1, 0) == findings(found)


def test_exceptions_and_damaged_answers_need_no_reading(judge):
    """
    An exception, a damaged answer and a probe make no reading; a damaged one that got through must be right.
    """
    damaged = answer(21, {"voltage": 2400, "current": 5}, whole=False)
    extra = [answer(22, {}, exception=2), damaged, answer(23, {"voltage": 2401}, count=1)]
    found = judge([*ANSWERS, *extra], ROWS)
    assert (True, 23, 20, 1) == (found.ok, found.answers, found.expected, found.probes)


def test_a_damaged_answer_may_not_be_wrong(judge):
    """
    A value that the device never sent is wrong even where the answer was damaged.
    """
    damaged = answer(21, {"voltage": 2400, "current": 5}, whole=False)
    rows = rows_of([damaged], first_seq=21)
    found = judge([*ANSWERS, damaged], ROWS + altered(rows, 21, "voltage", value=999.0))
    assert (0, 0, 1, 0) == findings(found)


def test_text_sentinels_and_offline_rows(judge):
    """
    Text is compared as text, a value that means none must have come as bad, and a row without any value is counted apart.
    """
    entries = [answer(number, {"ups.status": "OL", "voltage": None}) for number in (1, 2)]
    rows = [("e1", 3, seq, "M-1", "ups.status", T0_MS + 1000 * seq, "OL", "good") for seq in (1, 2)]
    rows += [("e1", 3, seq, "M-1", "voltage", T0_MS + 1000 * seq, None, "bad") for seq in (1, 2)]
    rows += [("e1", 3, 3, "M-1", point, T0_MS + 9000, None, "offline") for point in ("ups.status", "voltage")]
    found = judge(entries, rows)
    assert (True, 2, 1, 2) == (found.ok, found.matched, found.without_value, found.values_received)


def test_fast_polls_of_a_constant_value(judge):
    """
    At 20 ms between polls and a value that never changes, one missing and one doubled reading are still found.
    """
    entries = [answer(number, {"voltage": 2300, "current": 0}, at_ms=T0_MS + 20 * number) for number in range(1, 501)]
    rows = [row for row in rows_of(entries) if row[2] != 250]
    assert (1, 0, 0, 0) == findings(judge(entries, rows))


def test_fast_polls_with_a_doubled_reading(judge):
    """
    A reading that came twice is a duplicate even when its neighbours have the same value.
    """
    entries = [answer(number, {"voltage": 2300, "current": 0}, at_ms=T0_MS + 20 * number) for number in range(1, 501)]
    assert (0, 1, 0, 0) == findings(judge(entries, rows_of(entries) + rows_of([entries[100]], first_seq=900)))


def test_a_question_belongs_to_its_own_layout():
    """
    An answer fills the layout with exactly its points, else the largest that it holds and that no question asks for itself.
    """
    a, ab, abc, c = frozenset("a"), frozenset("ab"), frozenset("abc"), frozenset("c")
    assert ab == layout_of(abc, {a, ab, c}, {abc, c})
    assert abc == layout_of(abc, {a, abc}, {abc})
    assert c == layout_of(c, {ab, c}, {abc, c})
    assert None is layout_of(a, {ab, c}, {abc, c, a})
    assert a == layout_of(ab, {a, frozenset("b")}, {ab, frozenset("b")})


def test_fifty_thousand_answers_are_judged_in_seconds(judge):
    """
    A run of 50,000 answers is judged without any step that grows with its square.
    """
    entries = [electrical(number) for number in range(1, 50_001)]
    rows = rows_of(entries)
    started = time.perf_counter()
    found = judge(entries, rows)
    assert (True, 50_000) == (found.ok, found.matched)
    assert time.perf_counter() - started < 30


def test_a_journal_survives_a_cut_and_a_second_start(tmp_path):
    """
    A journal is read whole after a restart of the station, and a last line that was cut is left out.
    """
    path = tmp_path / "journal.jsonl"
    for number in (1, 2):
        journal = Journal(path, {f"D-{number}": {"voltage": 1}})
        journal.write(electrical(number))
        journal.close()
    with path.open("ab") as file:
        file.write(msgspec.json.encode(electrical(3))[:40])
    assert ({"D-1": {"voltage": 1}, "D-2": {"voltage": 1}}, [electrical(1), electrical(2)]) == read(path)


def test_a_file_that_is_no_sink_is_refused(tmp_path):
    """
    A database without the receiver's table, or none at all, is refused by name.
    """
    Journal(tmp_path / "journal.jsonl", DECIMALS).close()
    for name in ("absent.db", "journal.jsonl"):
        with pytest.raises(EdgegwError, match=name):
            audit(tmp_path / "journal.jsonl", tmp_path / name, GATEWAY)


def test_questions_without_an_address_are_told_apart_by_their_points(judge):
    """
    A UPS is asked by words: two of its answers are two layouts, and none is taken for the other.
    """
    entries = [answer(number, {"ups.status": "OL"} if number % 2 else {"voltage": 2300 + number}, count=0) for number in range(1, 11)]
    found = judge(entries, rows_of(entries))
    assert (10, (0, 0, 0, 0), True) == (found.matched, findings(found), found.ok)


def test_an_introduction_is_no_lost_reading(judge):
    """
    Of what the gateway does not store an answer is a probe; of what it stores it is lost.
    """
    entries = [*ANSWERS, answer(21, {"energy.import": 5}, address=30, count=2)]
    stored = frozenset({("M-1", "voltage"), ("M-1", "current")})
    found = judge(entries, ROWS, wanted=stored)
    assert (1, 20, (0, 0, 0, 0)) == (found.probes, found.matched, findings(found))


def test_a_stored_answer_without_a_layout_is_lost(judge):
    """
    The same answer, where the gateway should have stored it.
    """
    found = judge([*ANSWERS, answer(21, {"energy.import": 5}, address=30, count=2)], ROWS)
    assert (0, 20, (1, 0, 0, 0)) == (found.probes, found.matched, findings(found))
