"""`edgegw profiles list`: the products that edgegw knows."""

from __future__ import annotations

import click

from edgegw.cli.cells import table
from edgegw.cli.output import Result, finish
from edgegw.cli.settings import current


@click.group("profiles", help="The products that edgegw knows.")
def command() -> None:
    pass


@command.command("list", help="Name, class, poll groups and title of every product; unproven: no captured exchange has shown it yet.")
def list_() -> None:
    from edgegw.drivers.profile import available, load_profile

    profiles = [load_profile(name) for name in available()]
    found = [
        {
            "name": profile.profile.name,
            "class": profile.profile.device_class,
            "title": profile.profile.title,
            "title_zh": profile.profile.title_zh,
            "groups": {name: group.period_s for name, group in profile.group.items()},
            "points": len(profile.point),
            "unproven": bool(profile.profile.unproven),
            "source": profile.profile.source,
        }
        for profile in profiles
    ]
    shown = [[str(row["name"]), str(row["class"]), str(row["points"]), "unproven" if row["unproven"] else "", str(row["title"])] for row in found]
    screen = table(["PROFILE", "CLASS", "POINTS", "", "PRODUCT"], shown, right=frozenset({2}), flexible=4)
    finish(current(), "profiles-list", Result(found, screen=lambda: screen, rows=lambda: shown))
