"""`edgegw alarms`: what is wrong, since when, who looks after it; and to say that one does."""

from __future__ import annotations

import os
from typing import Any, NoReturn

import click

from edgegw.cli.alarm_report import report_screen
from edgegw.cli.alarm_screens import list_screen, show_screen
from edgegw.cli.alarm_stats import history, history_screen, stats
from edgegw.cli.alarm_telling import notifications, test, told_lines, told_of
from edgegw.cli.cells import wrap
from edgegw.cli.output import Result, finish, screen_language, screen_width
from edgegw.cli.settings import Settings, current
from edgegw.cli.texts_alarms import say
from edgegw.cli.times import local, seconds_of
from edgegw.control.client import Connection
from edgegw.errors import EXIT_NO_DAEMON, EXIT_OK, EXIT_UNKNOWN, EXIT_WARNINGS, EdgegwError

_INDENT = 4
# The store keeps events for as long as there is room; who looks further back asks for them.
_PAST_S = 90 * 86_400


@click.group("alarms", invoke_without_command=True, help="Alarms that are open, and what to do with them. Exit 10 while there is one.")
@click.option("--level", metavar="LEVEL", help="Of this level and above: critical, major, minor, notice, or the station's own.")
@click.option("--overdue", is_flag=True, help="Those whose promised time has passed.")
@click.option("--all", "everything", is_flag=True, help="Also what is below another alarm, shelved or out of service.")
@click.pass_context
def command(context: click.Context, level: str | None, *, overdue: bool, everything: bool) -> None:
    if context.invoked_subcommand is None:
        list_alarms(level, overdue=overdue, everything=everything)


@command.command("list", help="The same as `edgegw alarms`.")
@click.option("--level", metavar="LEVEL", help="Of this level and above: critical, major, minor, notice, or the station's own.")
@click.option("--overdue", is_flag=True, help="Those whose promised time has passed.")
@click.option("--all", "everything", is_flag=True, help="Also what is below another alarm, shelved or out of service.")
def list_(level: str | None, *, overdue: bool, everything: bool) -> None:
    list_alarms(level, overdue=overdue, everything=everything)


command.add_command(history)
command.add_command(stats)
command.add_command(test)
command.add_command(notifications)


def list_alarms(level: str | None, *, overdue: bool, everything: bool) -> None:
    settings = current()
    data, gateway, language = ask(settings, "alarms", {})
    shown = [alarm for alarm in data["alarms"] if everything or alarm["visibility"] == "shown"]
    if level:
        lowest = _rank(level, [found["name"] for found in data["levels"]])
        shown = [alarm for alarm in shown if alarm["rank"] <= lowest]
    if overdue:
        shown = [alarm for alarm in shown if alarm["overdue"]]
    shown.sort(key=lambda alarm: (alarm["rank"], alarm["number"]))
    exit_code = EXIT_WARNINGS if shown else EXIT_OK
    result = Result(
        {"alarms": shown, "out_of_service": data["out_of_service"], "service_state": data["service_state"]},
        gateway=gateway,
        exit_code=exit_code,
        screen=lambda: list_screen(shown, data, language, exit_code),
        rows=lambda: ((alarm["number"], alarm["level"], alarm["for_s"], alarm["device"], alarm["place"], alarm["point"], alarm["text"]) for alarm in shown),
    )
    finish(settings, "alarms", result)


def _rank(level: str, levels: list[str]) -> int:
    if level not in levels:
        raise click.BadParameter(f"'{level}' is not one of {', '.join(levels)}", param_hint="'--level'")
    return levels.index(level)


@command.command("show", help="One alarm: what, where, since when, by when; of one that is over, what happened.")
@click.argument("number", type=int, metavar="ID")
@click.option("--report", "with_report", is_flag=True, help="What was read from 60 s before to 60 s after, of the bus and of the link; of past alarms too.")
def show(number: int, *, with_report: bool) -> None:
    settings = current()
    data, gateway, language = ask(settings, "alarms", {})
    alarm = next((found for found in data["alarms"] if found["number"] == number), None)
    if with_report:
        show_report(number, alarm, settings)
    if alarm is None:
        show_past(number, settings)
    told = told_of(settings, alarm)
    below = [found["number"] for found in data["alarms"] if found["below"] == number]
    *screen, next_step = show_screen(alarm, language, below)
    result = Result(
        {**alarm, "children": below, "told": told["told"], "waiting": told["waiting"]},
        gateway=gateway,
        screen=lambda: [*screen, *told_lines(told, language), next_step],
        rows=lambda: ((name, value) for name, value in alarm.items()),
    )
    finish(settings, "alarms-show", result)


def show_past(number: int, settings: Settings) -> NoReturn:
    """What is stored of an alarm that is over: a message names this command, and may be read later than its alarm lasts. Raises EdgegwError E-ALARM."""
    past, gateway, language = ask(settings, "alarm-history", {"number": number, "since_s": _PAST_S})
    events = past["events"]
    if not events:
        raise EdgegwError("E-ALARM", f"no alarm #{number}", "edgegw alarms; those of the past: edgegw alarms history", EXIT_UNKNOWN)
    lead = say(language, "next", f"edgegw alarms show {number} --report")
    result = Result(
        {"number": number, "alarm_id": events[-1]["id"], "state": "over", "events": events},
        gateway=gateway,
        screen=lambda: [say(language, "show.over", number), *history_screen({**past, "whole": True}, language), lead],
        rows=lambda: ((event["at_ms"], event["edge"], event["level"], event["device"], event["text"]) for event in events),
    )
    finish(settings, "alarms-show", result)


def show_report(number: int, alarm: dict[str, Any] | None, settings: Settings) -> NoReturn:
    """What is known of the alarm while it is open, and its report."""
    report, gateway, language = ask(settings, "alarm-report", {"number": number})
    head = list(show_screen(alarm, language))[:-1] if alarm else [f"#{number}  {report['device'] or ''}  {report['rule']}"]
    result = Result(
        {"alarm": alarm, "report": report},
        gateway=gateway,
        screen=lambda: [*head, "", *report_screen(report, language)],
        rows=lambda: ((one["device"], one["point"], one["unit"], *sample) for one in report["series"] for sample in one["samples"]),
    )
    finish(settings, "alarms-report", result)


@command.command("ack", help="Says that you look after it. The first one counts.")
@click.argument("number", type=int, metavar="ID")
@click.option("-m", "note", default="", metavar="TEXT", help="What you are going to do.")
def ack(number: int, note: str) -> None:
    def sentence(language: str, data: dict[str, Any]) -> str:
        by, at_ms = data["acknowledged_by"], data["acknowledged_at_ms"]
        return say(language, "done.ack", number, by) if by == data["by"] else say(language, "done.ack_before", number, by, local(at_ms))

    _act({"deed": "ack", "number": number, "note": note}, sentence)


@command.command("reset", help="Ends a latched alarm whose condition has ended.")
@click.argument("number", type=int, metavar="ID")
@click.option("-m", "note", default="", metavar="TEXT", help="What was done.")
def reset(number: int, note: str) -> None:
    _act({"deed": "reset", "number": number, "note": note}, lambda language, data: say(language, "done.reset", number, data["by"]))


@command.command("recheck", help="After a repair: asks the device and decides at once, without the off-delay. Exit 10 while the condition still holds.")
@click.argument("number", type=int, metavar="ID")
def recheck(number: int) -> None:
    def sentence(language: str, data: dict[str, Any]) -> str:
        how = "done.recheck_latched" if data.get("waits_for_reset") else "done.recheck" if data["ended"] else "done.recheck_still"
        silent = say(language, "done.recheck_silent") if data.get("answered") is False else ""
        return " ".join(filter(None, (say(language, how, number), silent)))

    _act({"deed": "recheck", "number": number}, sentence)


@command.command("shelve", help="Not told for a time, with a reason: at most 24 h, 1 h for fire, smoke, water, intrusion. It is still written down.")
@click.argument("number", type=int, metavar="ID")
@click.option("--for", "time", required=True, metavar="TIME", help="30m, 2h; 0 ends it.")
@click.option("-m", "note", default="", metavar="TEXT", help="Why.")
def shelve(number: int, time: str, note: str) -> None:
    for_s = seconds_of("--for", time)
    arguments = {"deed": "shelve", "number": number, "for_s": for_s, "note": note}
    _act(
        arguments,
        lambda language, data: say(language, "done.shelve", number, local(data["until_ms"]), data["by"]) if for_s else say(language, "done.unshelve", number),
    )


@command.command("out-of-service", help="A device under repair tells nobody of its alarms, for a month at most. They are still written down.")
@click.argument("device", metavar="CODE")
@click.option("--for", "time", required=True, metavar="TIME", help="8h, 2d; 0 takes it back into service.")
@click.option("-m", "note", default="", metavar="TEXT", help="Why.")
def out_of_service(device: str, time: str, note: str) -> None:
    for_s = seconds_of("--for", time)
    _act(
        {"deed": "out-of-service", "device": device, "for_s": for_s, "note": note},
        lambda language, data: say(language, "done.out", device, local(data["until_ms"]), data["by"]) if for_s else say(language, "done.in", device),
    )


def ask(settings: Settings, question: str, arguments: dict[str, Any]) -> tuple[dict[str, Any], str, str]:
    """The service's answer, its gateway and the language of the screen. Raises EdgegwError."""
    if settings.offline:
        raise EdgegwError("E-OFFLINE", "alarms are known to the running service alone", "leave out --offline", EXIT_NO_DAEMON)
    with Connection(settings.socket, settings.timeout_s) as daemon:
        return daemon.ask(question, arguments, settings.timeout_s), daemon.gateway, screen_language(settings, daemon.language)


def _act(arguments: dict[str, Any], sentence: Any) -> None:
    settings = current()
    data, gateway, language = ask(settings, "alarm-do", {**arguments, "user": os.environ.get("SUDO_USER", "")})
    result = Result(
        data,
        gateway=gateway,
        exit_code=EXIT_OK if data.get("ended", True) else EXIT_WARNINGS,
        screen=lambda: wrap(sentence(language, data), _INDENT, screen_width()),
        rows=lambda: ((name, value) for name, value in data.items()),
    )
    finish(settings, f"alarms-{arguments['deed']}", result)
