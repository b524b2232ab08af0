"""A broker in Python for the demo on a machine where mosquitto cannot be had: `python -m edgegw.sim.pure_broker PORT CA CERT KEY`.

It is amqtt on one loopback port: MQTT 3.1.1 over TLS, QoS 1, retained messages and wills; a client without a certificate of the
authority is refused. MQTT 5 is answered at once with "unsupported protocol version", upon which a client falls back. Nothing outlives
the process. It prints `ready` when it listens and ends with SIGTERM or SIGINT. Not for a station: amqtt stands in
requirements-demo.lock alone.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
import sys
from typing import Any

# The protocol level in CONNECT.
_MQTT_3_1_1 = 4
_USAGE = "usage: python -m edgegw.sim.pure_broker PORT CA_FILE CERT_FILE KEY_FILE"


def _strict_tls(listener: dict[str, Any]) -> ssl.SSLContext:
    """Insists on a client certificate, where amqtt itself would only ask for one."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=listener["cafile"])
    context.load_cert_chain(listener["certfile"], listener["keyfile"])
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _settings(port: int, ca_file: str, cert_file: str, key_file: str) -> dict[str, Any]:
    listener = {"type": "tcp", "bind": f"127.0.0.1:{port}", "ssl": True, "cafile": ca_file, "certfile": cert_file, "keyfile": key_file}
    return {
        "listeners": {"default": listener},
        # Who has a certificate of the demo's own authority may do everything: name and password add nothing.
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }


def _read_the_version_first(connect: Any) -> None:
    """Lets amqtt refuse another version before it reads on. Behind the version MQTT 5 has its properties, which amqtt takes for a client id and waits for ever for its end."""
    read_payload = connect.ConnectPayload.from_stream

    async def from_stream(_kind: type, reader: Any, fixed_header: Any, variable_header: Any) -> Any:
        if variable_header.proto_level != _MQTT_3_1_1:
            return connect.ConnectPayload("refused", will_topic="refused", will_message=b"")
        return await read_payload(reader, fixed_header, variable_header)

    connect.ConnectPacket.PAYLOAD = type("VersionedPayload", (connect.ConnectPayload,), {"from_stream": classmethod(from_stream)})


async def serve(port: int, ca_file: str, cert_file: str, key_file: str) -> None:
    """Serves until SIGTERM or SIGINT."""
    from amqtt.broker import Broker  # noqa: PLC0415 - an extra that only the demo may have installed
    from amqtt.mqtt import connect  # noqa: PLC0415

    _read_the_version_first(connect)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    # Made with type(): amqtt may be missing where this file is checked, and a base class of unknown type is no base class there.
    strict_broker = type("StrictBroker", (Broker,), {"_create_ssl_context": staticmethod(_strict_tls)})
    broker: Any = strict_broker(_settings(port, ca_file, cert_file, key_file))
    await broker.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await ended.wait()
    await broker.shutdown()


def main(arguments: list[str]) -> int:
    if len(arguments) != 4 or not arguments[0].isdecimal():
        sys.stderr.write(f"{_USAGE}\n")
        return 2
    logging.basicConfig(level=logging.WARNING)
    port, *files = arguments
    asyncio.run(serve(int(port), *files))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
