"""`edgegw cloud`: the way to the cloud as a technician looks at it, and `edgegw cloud receive`, the receiver that a cloud team runs."""

from __future__ import annotations

from typing import Any

import click

from edgegw.cli.cloud_status import status
from edgegw.cli.cloud_test import test
from edgegw.cli.settings import current


@click.group("cloud", help="The way to the cloud, and the cloud side.")
def command() -> None:
    pass


command.add_command(status)
command.add_command(test)


@command.command("receive", help="The receiver: opens batches, writes the sink, answers with signed receipts. Until Ctrl-C or SIGTERM.")
@click.option("--broker", required=True, metavar="URL", help="As in mqtts://mq.example.cn:8883.")
@click.option("--keys", "keys_dir", required=True, metavar="DIR", help="Keys of the cloud, with the public halves of its gateways in DIR/gateways.")
@click.option("--sink", required=True, metavar="URL", help="Where readings go: sqlite:PATH.")
@click.option("--ca", metavar="FILE", help="Certificate authority of the broker (default: the system's).")
@click.option("--cert", metavar="FILE", help="Client certificate for the broker.")
@click.option("--cert-key", metavar="FILE", help="Its private key.")
@click.option("--receipt-interval", "receipt_interval_s", type=click.FloatRange(0.1, 3600), metavar="S", help="Seconds between receipts.")
@click.option("--share", metavar="NAME", help="Shared subscription, where several receivers divide the work.")
@click.option("--client-id", metavar="ID", help="MQTT client id (default: made from the keys).")
def receive(**options: Any) -> None:
    from edgegw.cloud.receiver import main

    # Only what was typed: the receiver knows its own defaults.
    typed = {name: value for name, value in options.items() if value}
    click.get_current_context().exit(main(**typed, as_json=current().json))
