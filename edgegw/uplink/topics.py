"""The topics of one uplink: ours, or those that a cloud prescribes, from templates. Pure.

egw/1/{operator}/{station}/{gateway}/{kind}     kind: e n t h m up, s status, d/ack receipts, d/cmd commands
devices/{client_id}/messages/events/            without {kind} everything goes to one topic: the signed header tells what a message is
"""

from __future__ import annotations

import msgspec

from edgegw.config.model import Gateway, Uplink


class Topics(msgspec.Struct, frozen=True):
    """Filled-in templates; an empty topic is not used."""

    up: str
    """Still with {kind}, where the template has it."""
    status: str
    receipt: str
    command: str

    def of_kind(self, kind: str) -> str:
        """Where batches of a lane (e, n, t, h) and schema documents (m) go."""
        return self.up.replace("{kind}", kind)

    @property
    def subscribed(self) -> tuple[str, ...]:
        return tuple(topic for topic in (self.receipt, self.command) if topic)

    @property
    def all_up(self) -> str:
        """What the broker must let us write, for people."""
        return self.up.replace("{kind}", "+")


def client_id_of(uplink: Uplink, gateway: Gateway) -> str:
    return uplink.client_id or f"egw-{gateway.identity.replace('/', '-')}"


def make_topics(uplink: Uplink, gateway: Gateway) -> Topics:
    """The configuration's check has seen to it that nothing else stands in braces."""
    names = {"{operator}": gateway.operator, "{station}": gateway.station, "{gateway}": gateway.gateway, "{client_id}": client_id_of(uplink, gateway)}

    def filled(template: str) -> str:
        for placeholder, name in names.items():
            template = template.replace(placeholder, name)
        return template

    receipt = uplink.topic_receipt if uplink.ack == "receipt" else ""
    return Topics(filled(uplink.topic), filled(uplink.topic_status), filled(receipt), filled(uplink.topic_command))
