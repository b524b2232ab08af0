"""`edgegw`: one small program that loads one module a command.

Only click and the standard library are imported here, so that a technician's command starts within 100 ms (decision D10). This is the one place
where an error becomes a line for a person; nobody sees a traceback who did not ask for it with -v.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Any

import click

from edgegw import __version__
from edgegw.cli.settings import Settings, global_options
from edgegw.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, EdgegwError

BLOCKS: dict[str, dict[str, tuple[str, str]]] = {
    "Every day": {
        "status": ("edgegw.cli.status", "One screen: overall, clock, cloud, buffer, buses, alarms."),
        "read": ("edgegw.cli.read", "Values of a device, now or as last polled."),
        "alarms": ("edgegw.cli.alarms", "Alarms: open, overdue, of the past; acknowledge, shelve, reset."),
        "rules": ("edgegw.cli.rules", "The rules of the alarms: list, show, try over stored data."),
        "explain": ("edgegw.cli.explain", "Meaning and next step of a message id."),
    },
    "Commissioning": {
        "profiles": ("edgegw.cli.profiles", "The products that edgegw knows."),
        "config": ("edgegw.cli.config", "Check the configuration."),
        "decode": ("edgegw.cli.decode", "Bytes of DL/T 645, UPS and Modbus explained, offline."),
        "bus": ("edgegw.cli.bus", "The buses: what they count, and their frames as they come."),
    },
    "Data": {
        "buffer": ("edgegw.cli.buffer", "The store: status, newest values, verify, export, salvage."),
        "capacity": ("edgegw.cli.capacity", "Hours of room left, and megabytes a month."),
    },
    "Administration": {
        "run": ("edgegw.cli.run", "The daemon in the foreground (used by systemd)."),
        "version": ("edgegw.cli.version", "Version of the program and of what it runs on."),
        "keys": ("edgegw.cli.keys", "Make and list keys."),
        "cloud": ("edgegw.cli.cloud", "The way to the cloud: status, test; and the receiver."),
        "simulate": ("edgegw.cli.simulate", "A simulated station on real ports."),
        "demo": ("edgegw.cli.demo", "A whole station without hardware, from meters to receiver."),
    },
}
"""The four blocks of the help: command, the module that holds its click `command`, one sentence."""

_COMMANDS = {name: row for block in BLOCKS.values() for name, row in block.items()}

# A group that lists without a further word has one name for both; a report is no alarm.
_OTHER_SCHEMAS = {("alarms-list", False): "alarms", ("alarms-show", True): "alarms-report"}

_EXIT_CODES = """\
 0 done, all good                     6 device answered with an error
 1 checks ran and found an error      7 port or bus held by someone else
 2 wrong usage or configuration       8 cloud stage failed
 3 daemon needed but not running      9 role does not allow it
 4 no such device, point, alarm      10 done, but warnings or stale values
 5 device did not answer             11 store not usable
                                    130 interrupted"""


class _Main(click.Group):
    """Loads a command's module when the command is used, and gives it the global options."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(_COMMANDS[cmd_name][0]).command
        typed = ctx.ensure_object(Settings).typed
        defaults = _share_options(command, typed)
        if defaults:
            ctx.default_map = {**(ctx.default_map or {}), cmd_name: defaults}
        return command

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in BLOCKS.items():
            if commands:
                with formatter.section(title.upper()):
                    formatter.write_dl([(name, sentence) for name, (_, sentence) in commands.items()])
        records = [record for option in self.get_params(ctx) if (record := option.get_help_record(ctx))]
        with formatter.section("OPTIONS, before or after the command"):
            formatter.write_dl(records)
        with formatter.section("EXIT CODES"):
            formatter.write("".join(f"  {line}\n" for line in _EXIT_CODES.split("\n")))


def _share_options(command: click.Command, typed: dict[str, Any]) -> dict[str, Any]:
    """Adds the global options to a command and its sub-commands. Where a command has an option of its own by that name, what was typed before it is returned as its default."""
    if isinstance(command, click.Group):
        if command.invoke_without_command and all(parameter.name != "json" for parameter in command.params):
            command.params.extend(global_options(hidden=True))
        return {name: found for name, child in command.commands.items() if (found := _share_options(child, typed))}
    own = {name: parameter for parameter in command.params for name in parameter.opts}
    defaults: dict[str, Any] = {}
    for option in global_options(hidden=True):
        clash = next((own[name] for name in option.opts if name in own), None)
        if clash is None:
            command.params.append(option)
        elif clash is not option and option.name in typed and clash.name:
            defaults[clash.name] = typed[option.name]
    if not command.epilog:
        command.epilog = "Options for every command, as --json and --config: edgegw -h"
    return defaults


def _print_version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's way
    if value:
        click.echo(f"edgegw {__version__}")
        context.exit()


def make_group() -> click.Group:
    """The whole command tree."""
    version = click.Option(["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="The version alone.")
    return _Main(
        "edgegw",
        params=[*global_options(hidden=False), version],
        help="Edge gateway of a charging station: polls its devices, stores, raises alarms, delivers to the cloud.",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80, "terminal_width": 80},
    )


def run(arguments: Sequence[str]) -> int:
    """One command to its exit code. Every way in which a command can end is here."""
    settings = Settings()
    try:
        code = _invoke(arguments, settings)
        sys.stdout.flush()
    except EdgegwError as fault:
        code = refuse(fault, settings, arguments)
    except click.exceptions.NoArgsIsHelpError as fault:
        click.echo(fault.ctx.get_help() if fault.ctx else "", err=True)
        code = EXIT_USAGE
    except click.ClickException as fault:
        code = refuse(_usage(fault), settings, arguments)
    except (KeyboardInterrupt, click.Abort):
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader has seen enough (`| head`): nothing to complain of, and nothing more to write at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = EXIT_OK
    return code


def _invoke(arguments: Sequence[str], settings: Settings) -> int:
    group = make_group()
    try:
        with group.make_context("edgegw", list(arguments), obj=settings) as context:
            group.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code
    return EXIT_OK


def _usage(fault: click.ClickException) -> EdgegwError:
    context = fault.ctx if isinstance(fault, click.UsageError) else None
    return EdgegwError("E-USAGE", fault.format_message().rstrip("."), f"{context.command_path if context else 'edgegw'} -h", EXIT_USAGE)


def refuse(fault: EdgegwError, settings: Settings, arguments: Sequence[str]) -> int:
    from edgegw.cli.output import complain, screen_language

    # A wrong option may stand in front of --json: whoever asked for JSON gets it all the same.
    wants_json = settings.json or "--json" in arguments
    complain(fault, language=screen_language(settings), json_command=_schema_of(arguments) if wants_json else None)
    return fault.exit_code


def _schema_of(arguments: Sequence[str]) -> str:
    """The name under which the command's JSON stands (docs/cli.md), of an error too: `alarms-ack`."""
    words = [word for word in arguments if word in _COMMANDS][:1]
    found = importlib.import_module(_COMMANDS[words[0]][0]).command if words else None
    while isinstance(found, click.Group):
        inner = next((word for word in arguments if word in found.commands and word not in words), None)
        words, found = ([*words, inner], found.commands[inner]) if inner else (words, None)
    name = "-".join(words) or "edgegw"
    return _OTHER_SCHEMAS.get((name, "--report" in arguments), name)


def report_bug(kind: type[BaseException], fault: BaseException, trace: Any) -> None:
    """The last resort: what nobody expected, in one line. Ctrl-C before the first command began is none of it."""
    if issubclass(kind, KeyboardInterrupt):
        return
    if any(word.startswith("-v") or word == "--verbose" for word in sys.argv[1:]):
        sys.__excepthook__(kind, fault, trace)
    what = " ".join(f"{kind.__name__}: {fault}".split())
    print(f"E-BUG: a mistake of edgegw {__version__}: {what}. Next: the same with -v, and report what it prints", file=sys.stderr)  # noqa: T201


def main() -> None:
    """Any command; `entry.py` comes before it."""
    sys.excepthook = report_bug
    if isinstance(sys.stdout, TextIOWrapper):
        # A name in Chinese must not end a command on a terminal that cannot show it.
        sys.stdout.reconfigure(errors="replace")
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
