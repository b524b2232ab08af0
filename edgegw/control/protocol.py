"""The language of the control socket: JSON lines on a unix stream socket.

    server, once:   {"schema":"edgegw.control/1","version":"1.0.0","gateway":"operator/station/gateway","language":"zh"}
    client:         {"command":"read","args":{"device":"DC-01"},"deadline_ms":10000}
    server:         {"ok":true,"data":{...}}
    or:             {"ok":false,"error":{"id":"E-DEVICE","text":"...","next":"...","exit_code":4}}

One object a line, UTF-8, ended by LF. The greeting tells the version before anything is asked. Requests of one connection are answered one
after the other, in their order. Each must say how long its asker will wait; what is not answered by then is ended with E-CTL-DEADLINE.
"""

from __future__ import annotations

SCHEMA = "edgegw.control/1"
# A request names a command and a few codes; more is no request of ours.
REQUEST_BYTES_MAX = 64 * 1024
# The whole status of 5,000 devices takes 2 MiB.
ANSWER_BYTES_MAX = 16 * 1024 * 1024
# A technician's longest question is a scan; it reports in pieces.
DEADLINE_MS_MAX = 600_000
# What these do is written down with the name of who did it: the server adds `peer_uid` to their arguments.
SIGNED_COMMANDS = frozenset({"alarm-do", "alarm-test"})
