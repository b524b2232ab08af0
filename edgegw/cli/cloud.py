"""`edgegw cloud`: the way to the cloud as a technician looks at it, and `edgegw cloud receive`, the receiver that a cloud team runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgegw.cli.cloud_live import live
from edgegw.cli.cloud_status import status
from edgegw.cli.cloud_test import test
from edgegw.cli.settings import current

if TYPE_CHECKING:
    from edgegw.cloud.broker import TlsFiles


@click.group("cloud", help="The way to the cloud, and the cloud side.")
def command() -> None:
    pass


command.add_command(status)
command.add_command(live)
command.add_command(test)


@command.command("receive", help="The receiver: opens batches, writes the sink, answers with signed receipts. Until Ctrl-C or SIGTERM.")
@click.option("--broker", metavar="URL", help="As in mqtts://mq.example.cn:8883.")
@click.option("--file", metavar="FILE", help="A sealed export that came by hand, instead of a broker: is stored, and receipts are written for it.")
@click.option("--receipt-file", metavar="FILE", help="Where the receipts for --file go (default: beside it, with .receipt behind the name).")
@click.option("--keys", "keys_dir", required=True, metavar="DIR", help="Keys of the cloud, with the public halves of its gateways in DIR/gateways.")
@click.option("--sink", required=True, metavar="URL", help="Where readings go: sqlite:PATH.")
@click.option("--ca", metavar="FILE", help="Certificate authority of the broker (default: the system's).")
@click.option("--cert", metavar="FILE", help="Client certificate for the broker.")
@click.option("--cert-key", metavar="FILE", help="Its private key.")
@click.option("--receipt-interval", "receipt_interval_s", type=click.FloatRange(0.1, 3600), metavar="S", help="Seconds between receipts (default: 5).")
@click.option("--share", metavar="NAME", help="Shared subscription, where several receivers divide the work.")
@click.option("--client-id", metavar="ID", help="MQTT client id (default: made from the keys).")
@click.option("--topic", metavar="FILTER", help="A further topic filter, for gateways whose topics have another layout.")
@click.option("--receipt-topic", metavar="TEMPLATE", help="Where receipts go (default: egw/1/{operator}/{station}/{gateway}/d/ack).")
def receive(**options: Any) -> None:
    from edgegw.cloud.receiver import main

    # Only what was typed: the receiver knows its own defaults.
    typed = {name: value for name, value in options.items() if value}
    if "file" in typed:
        from edgegw.cloud.by_hand import receive_file

        wanted = {name: typed[name] for name in ("file", "keys_dir", "sink", "receipt_file") if name in typed}
        click.get_current_context().exit(receive_file(**wanted))
    if "broker" not in typed:
        raise click.UsageError("name a --broker, or a --file that came by hand")
    click.get_current_context().exit(main(**typed, as_json=current().json))


@command.command("resend", help="Asks a gateway, signed, for ranges that its cloud lacks: those named, or the holes in a sink.")
@click.option("--broker", required=True, metavar="URL", help="As in mqtts://mq.example.cn:8883.")
@click.option("--keys", "keys_dir", required=True, metavar="DIR", help="Keys of the cloud.")
@click.option("--gateway", required=True, metavar="O/S/G", help="Codes of operator, station and gateway.")
@click.option("--sink", default="", metavar="URL", help="Ask for the holes in this sink: sqlite:PATH.")
@click.option("--ca", default="", metavar="FILE", help="Certificate authority of the broker (default: the system's).")
@click.option("--cert", default="", metavar="FILE", help="Client certificate for the broker.")
@click.option("--cert-key", default="", metavar="FILE", help="Its private key.")
@click.option("--topic", default="", metavar="TEMPLATE", help="Where the gateway takes commands (default: egw/1/{gateway}/d/cmd).")
@click.argument("ranges", nargs=-1, metavar="[EPOCH:STREAM:FIRST-LAST]...")
def resend(**options: Any) -> None:
    from edgegw.cloud.asking import resend as ask

    files, topic = _files(options), _topic(options)
    click.get_current_context().exit(ask(**options, files=files, topic=topic))


@command.command("ack", help="Tells a gateway, signed, that somebody in the control room looks after an alarm. The first word counts, by the time it was said.")
@click.option("--broker", required=True, metavar="URL", help="As in mqtts://mq.example.cn:8883.")
@click.option("--keys", "keys_dir", required=True, metavar="DIR", help="Keys of the cloud.")
@click.option("--gateway", required=True, metavar="O/S/G", help="Codes of operator, station and gateway.")
@click.option("--by", required=True, metavar="NAME", help="Who looks after it.")
@click.option("-m", "note", default="", metavar="TEXT", help="What is going to be done.")
@click.option("--ca", default="", metavar="FILE", help="Certificate authority of the broker (default: the system's).")
@click.option("--cert", default="", metavar="FILE", help="Client certificate for the broker.")
@click.option("--cert-key", default="", metavar="FILE", help="Its private key.")
@click.option("--topic", default="", metavar="TEMPLATE", help="Where the gateway takes commands (default: egw/1/{gateway}/d/cmd).")
@click.argument("alarm_id", metavar="ALARM_ID")
def ack(**options: Any) -> None:
    from edgegw.cloud.asking import Way, acknowledge

    files, topic = _files(options), _topic(options)
    way = Way(options["broker"], options["keys_dir"], options["gateway"], files, topic)
    click.get_current_context().exit(acknowledge(way, options["alarm_id"], options["by"], options["note"]))


def _files(options: dict[str, Any]) -> TlsFiles:
    from edgegw.cloud.receiver import ReceiverOptions

    return ReceiverOptions(broker="", keys_dir="", sink="", **{name: options.pop(name) for name in ("ca", "cert", "cert_key")})


def _topic(options: dict[str, Any]) -> str:
    from edgegw.cloud.asking import COMMAND_TOPIC

    return options.pop("topic") or COMMAND_TOPIC
