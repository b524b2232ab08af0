"""What the control socket takes for the uplinks: receipts that came by hand (docs/uplink.md)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from edgegw.errors import EXIT_UNKNOWN, EXIT_USAGE, EdgegwError
from edgegw.uplink.sender import Sender


class CloudViews:
    """Handlers of the control socket."""

    def __init__(self, senders: Sequence[Sender]) -> None:
        self._senders = senders

    def handlers(self) -> dict[str, Callable[[dict[str, Any]], Awaitable[object]]]:
        return {"buffer-import-receipt": self.take_receipt}

    async def take_receipt(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """One receipt in base64, for `uplink` or for the one whose cloud has signed it."""
        try:
            message = base64.b64decode(str(arguments.get("receipt", "")), validate=True)
        except binascii.Error as fault:
            raise EdgegwError("E-CTL-REQUEST", f"the receipt is no base64: {fault}", "", EXIT_USAGE) from fault
        name = str(arguments.get("uplink", ""))
        senders = [sender for sender in self._senders if name in ("", sender.name)]
        if not senders:
            raise EdgegwError("E-CLOUD-UPLINK", f'there is no uplink "{name}"', "edgegw config check", EXIT_UNKNOWN)
        for sender in senders[:-1]:
            try:
                return {"uplink": sender.name, "new": await sender.take_receipt(message)}
            except EdgegwError:
                continue
        return {"uplink": senders[-1].name, "new": await senders[-1].take_receipt(message)}
