"""The life of an alarm as a technician sees it: raised by a real contact, acknowledged, shelved, over, and looked back at."""

from __future__ import annotations

import getpass
import json

import pytest

from edgegw.cli.cells import cells
from edgegw.cli.rig import Rig, wait_for
from edgegw.errors import EXIT_OK, EXIT_UNKNOWN, EXIT_USAGE, EXIT_WARNINGS
from tests.unit.cli_daemon import edgegw


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    """A gateway on the simulated station without a broker; TH-02 is silent."""
    rig = Rig(tmp_path_factory.mktemp("alarms"))
    try:
        rig.make_keys()
        rig.start_station()
        rig.write_config()
        rig.start_gateway()
        rig.tell_station("silence", device="TH-02")
        wait_for("the alarm", lambda: any(alarm["device"] == "TH-02" for alarm in alarms(rig)), 60)
        yield rig
    finally:
        rig.close()


def alarms(rig):
    """None while the gateway starts."""
    data = json.loads(edgegw("alarms", "--all", "--json", "-c", rig.config).stdout)["data"]
    return data["alarms"] if data else []


def the_alarm(rig):
    return next(alarm for alarm in alarms(rig) if alarm["device"] == "TH-02")


def test_the_list_names_the_device_and_the_next_step(rig):
    """
    Exit 10, one line for the silent sensor, and the command that leads on; in Chinese too, 80 columns at most.
    """
    for language, word in (("en", "minor"), ("zh", "轻微")):
        done = edgegw("--lang", language, "alarms", "-c", rig.config)
        assert EXIT_WARNINGS == done.returncode
        assert f"#{the_alarm(rig)['number']}" in done.stdout
        assert word in done.stdout
        assert "edgegw alarms show" in done.stdout
        assert max(map(cells, done.stdout.splitlines())) <= 80


def test_the_list_is_cut_by_level(rig):
    """
    The sensor's minor alarm is not above major; a level that the station does not have is exit 2 with those that it has.
    """
    number = the_alarm(rig)["number"]
    assert f"#{number} " in edgegw("alarms", "--level", "minor", "-c", rig.config).stdout
    assert f"#{number} " not in edgegw("alarms", "--level", "major", "-c", rig.config).stdout
    wrong = edgegw("alarms", "--level", "worst", "-c", rig.config)
    assert EXIT_USAGE == wrong.returncode
    assert "critical, major, minor, notice" in wrong.stderr


def test_the_first_acknowledgement_counts(rig):
    """
    It bears the user's name and words; a second one changes nothing.
    """
    number = str(the_alarm(rig)["number"])
    assert EXIT_OK == edgegw("alarms", "ack", number, "-m", "on my way", "-c", rig.config).returncode
    edgegw("alarms", "ack", number, "-m", "me too", "-c", rig.config)
    found = the_alarm(rig)
    assert (True, getpass.getuser(), "on my way") == (found["acknowledged"], found["acknowledged_by"], found["note"])


def test_one_alarm_is_shown_whole(rig):
    """
    Level, device, times, rule and the promised time stand on its screen.
    """
    done = edgegw("alarms", "show", str(the_alarm(rig)["number"]), "-c", rig.config)
    assert EXIT_OK == done.returncode
    assert all(word in done.stdout for word in ("minor", "TH-02", "Raised", "on my way", "diagnosis", "device offline"))


def test_a_shelf_needs_a_reason_and_hides_the_alarm_for_a_time(rig):
    """
    Without a reason exit 2 with E-ALARM-SHELF; with one it leaves list and status, and comes back when it is ended.
    """
    number = str(the_alarm(rig)["number"])
    refused = edgegw("alarms", "shelve", number, "--for", "1h", "-c", rig.config)
    assert EXIT_USAGE == refused.returncode
    assert refused.stderr.startswith("E-ALARM-SHELF")
    assert EXIT_OK == edgegw("alarms", "shelve", number, "--for", "1h", "-m", "being replaced", "-c", rig.config).returncode
    assert f"#{number} " not in edgegw("alarms", "-c", rig.config).stdout
    assert "shelved" == the_alarm(rig)["visibility"]
    assert int(number) not in {alarm["number"] for alarm in rig.ask_gateway("status")["alarms"]}
    assert EXIT_OK == edgegw("alarms", "shelve", number, "--for", "0", "-c", rig.config).returncode
    assert "shown" == the_alarm(rig)["visibility"]


def test_a_device_out_of_service_tells_nobody(rig):
    """
    Its alarms are hidden under that word, and the list says until when and why.
    """
    assert EXIT_OK == edgegw("alarms", "out-of-service", "TH-02", "--for", "8h", "-m", "new sensor ordered", "-c", rig.config).returncode
    assert "out_of_service" == the_alarm(rig)["visibility"]
    assert "new sensor ordered" in edgegw("alarms", "-c", rig.config).stdout
    assert EXIT_OK == edgegw("alarms", "out-of-service", "TH-02", "--for", "0", "-c", rig.config).returncode
    unknown = edgegw("alarms", "out-of-service", "TH-99", "--for", "8h", "-m", "x", "-c", rig.config)
    assert (EXIT_UNKNOWN, "E-DEVICE") == (unknown.returncode, unknown.stderr[:8])


def test_what_is_still_so_cannot_be_reset(rig):
    """
    Exit 2 with E-ALARM-ACTIVE; a number that nobody has is exit 4.
    """
    refused = edgegw("alarms", "reset", str(the_alarm(rig)["number"]), "-c", rig.config)
    assert (EXIT_USAGE, "E-ALARM-ACTIVE") == (refused.returncode, refused.stderr[:14])
    assert EXIT_UNKNOWN == edgegw("alarms", "ack", "99999", "-c", rig.config).returncode


def test_a_recheck_asks_the_device(rig):
    """
    It is still silent: exit 10, and that it did not answer.
    """
    number = the_alarm(rig)["number"]
    still = edgegw("--lang", "en", "alarms", "recheck", str(number), "-c", rig.config)
    assert EXIT_WARNINGS == still.returncode
    assert f"#{number}: the condition still holds. Its device did not answer: decided by the last value." == " ".join(still.stdout.split())


def test_the_past_has_every_step_in_order(rig):
    """
    History shows raise, acknowledgement, shelf and end of the alarm; the figures count one raise.
    """
    number = the_alarm(rig)["number"]
    rig.tell_station("speak", device="TH-02")
    wait_for("the end", lambda: not any(alarm["device"] == "TH-02" for alarm in alarms(rig)), 60)

    def edges():
        events = json.loads(edgegw("alarms", "history", "TH-02", "--json", "-c", rig.config).stdout)["data"]["events"]
        return [event["edge"] for event in events if event["number"] == number]

    wait_for("the store", lambda: "cleared" in edges())
    assert ["raised", "acknowledged", "shelved", "unshelved", "cleared"] == edges()
    past = edgegw("alarms", "show", str(number), "--lang", "en", "-c", rig.config)
    assert (EXIT_OK, f"#{number} is over.") == (past.returncode, past.stdout.splitlines()[0])
    assert [" raised ", " acked ", " shelved ", " unshelved ", " cleared "] == [
        edge for edge in (" raised ", " acked ", " shelved ", " unshelved ", " cleared ") if edge in past.stdout
    ]
    assert EXIT_UNKNOWN == edgegw("alarms", "show", "99999", "-c", rig.config).returncode
    stats = json.loads(edgegw("alarms", "stats", "--json", "-c", rig.config).stdout)["data"]
    assert 1 == next(top["count"] for top in stats["top"] if top["name"] == "device offline TH-02")
    assert (7 * 86_400, None) == (stats["span_s"], stats["raised_a_day"])
    assert 0 < stats["stored_s"] < 3600
    assert "device offline TH-02" in edgegw("alarms", "stats", "-c", rig.config).stdout


def test_the_rules_are_listed_with_their_reasons(rig):
    """
    The station's own and those that every station has, in 80 columns; one shows its limit and on what it rests; an unknown one is exit 4 with a hint.
    """
    done = edgegw("rules", "list", "-c", rig.config)
    assert EXIT_OK == done.returncode
    assert "ups-low-battery" in done.stdout
    assert max(map(cells, done.stdout.splitlines())) <= 80
    shown = edgegw("rules", "show", "phase-voltage-high", "-c", rig.config)
    assert "GB/T 12325" in shown.stdout
    assert "235.4" in shown.stdout
    unknown = edgegw("rules", "show", "phase-voltage-hihg", "-c", rig.config)
    assert EXIT_UNKNOWN == unknown.returncode
    assert 'did you mean "phase-voltage-high"' in unknown.stderr


def test_a_rule_is_tried_over_stored_data(rig):
    """
    A limit above everything that was read raises nothing; one below it raises an alarm on every sensor, with its time.
    """
    text = rig.config.read_text()
    rig.config.write_text(text + '\n[[rule]]\nname = "trial"\ncondition = "high"\npoint = "temperature"\nlimit = -50\ndevice_class = "sensor"\n')
    wait_for("the store", lambda: json.loads(edgegw("rules", "test", "trial", "--json", "-c", rig.config).stdout)["data"]["raised"] > 0)
    found = json.loads(edgegw("rules", "test", "trial", "--json", "-c", rig.config).stdout)["data"]
    assert {"TH-01", "TH-02"} == set(found["devices"])
    assert EXIT_WARNINGS == edgegw("rules", "test", "trial", "-c", rig.config).returncode
    rig.config.write_text(rig.config.read_text().replace("limit = -50", "limit = 900"))
    assert EXIT_OK == edgegw("rules", "test", "trial", "-c", rig.config).returncode
    rig.config.write_text(text)
