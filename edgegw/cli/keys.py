"""`edgegw keys`: makes and lists the keys of a gateway or a cloud. Private halves never leave their directory and are never shown."""

from __future__ import annotations

from pathlib import Path

import click

from edgegw.cli.cells import cut, table
from edgegw.cli.output import Result, finish, screen_width
from edgegw.cli.settings import Settings, current

_CLOUD_DIR = "keys"
_GATEWAY_DIR = "/var/lib/edgegw/keys"


@click.group("keys", help="Keys of a gateway and of a cloud.")
def command() -> None:
    pass


@command.command("new", help="Make the keys of a gateway, or of a cloud. What is there is never overwritten.")
@click.argument("kind", type=click.Choice(["gateway", "cloud"]))
@click.option("--dir", "directory", metavar="DIR", help=f"Where (default: gateway as configured, else {_GATEWAY_DIR}; cloud ./{_CLOUD_DIR}).")
@click.option("--gateway", "identity", metavar="OPERATOR/STATION/GATEWAY", default="", help="Whose keys (default: as configured).")
def new(kind: str, directory: str | None, identity: str) -> None:
    from edgegw.uplink.keys import CLOUD_PUBLIC, GATEWAY_PUBLIC, new_cloud_keys, new_gateway_keys

    settings = current()
    if kind == "cloud":
        place = Path(directory or _CLOUD_DIR)
        fingerprint, public = new_cloud_keys(place), place / CLOUD_PUBLIC
        step = f"copy {public} to each gateway, as its recipient_file"
    else:
        configured_dir, configured_identity = _configured(settings)
        place = Path(directory or configured_dir)
        identity = identity or configured_identity
        fingerprint, public = new_gateway_keys(place, identity), place / GATEWAY_PUBLIC
        name = identity.replace("/", ".") or "OPERATOR.STATION.GATEWAY"
        step = f"copy {public} to the cloud, as gateways/{name}.pub in the directory of its keys"
    data = {"kind": kind, "directory": str(place), "fingerprint": fingerprint, "public": str(public), "gateway": identity}
    result = Result(
        data,
        gateway=identity,
        screen=lambda: [f"{kind} {fingerprint}", f"Next: {step}"],
        rows=lambda: [(kind, fingerprint, str(public))],
    )
    finish(settings, "keys-new", result)


@command.command("list", help="Kinds, fingerprints and files of the keys in a directory.")
@click.option("--dir", "directory", metavar="DIR", help=f"Which (default: as configured, else {_GATEWAY_DIR}).")
def list_(directory: str | None) -> None:
    from edgegw.uplink.keys import list_keys

    settings = current()
    configured_dir, identity = _configured(settings)
    place = directory or configured_dir
    names = ("kind", "fingerprint", "created", "path", "gateway")
    found = [[getattr(key, name) for name in names] for key in list_keys(place)]
    shown = [[kind, fingerprint, created[:10], gateway, Path(path).name] for kind, fingerprint, created, path, gateway in found]
    screen = table(["KIND", "FINGERPRINT", "CREATED", "GATEWAY", "FILE"], shown, right=frozenset(), flexible=3)
    result = Result(
        [dict(zip(names, row, strict=True)) for row in found],
        gateway=identity,
        screen=lambda: screen if found else [cut(f"No keys in {place}", screen_width())],
        rows=lambda: found,
    )
    finish(settings, "keys-list", result)


def _configured(settings: Settings) -> tuple[str, str]:
    """(directory of the gateway's keys, its identity) of the configuration, defaults where there is none yet."""
    from edgegw.config.load import load

    config = load(Path(settings.config)).config
    if config is None:
        return _GATEWAY_DIR, ""
    named = next((uplink.key_dir for uplink in config.uplink if uplink.key_dir), "")
    return named or str(Path(config.paths.state_dir) / "keys"), config.gateway.identity
