"""The configuration as types. Each field's description is its sentence in `config.example.toml` and docs/config.md.

Reading and checking is `load.py` (one file, all mistakes) and `check.py` (what only shows across tables).
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edgegw.config.channel_model import ChannelTable
from edgegw.config.level_model import Level
from edgegw.config.notify_model import Recipient, Route, TellingTable
from edgegw.config.rule_model import Rule, Term
from edgegw.config.supply_model import Supply

__all__ = ["Rule", "Term"]

Code = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,16}$")]
"""A code that travels in topics and payloads."""
Name = Annotated[str, Meta(pattern="^[A-Za-z0-9_.-]{1,32}$")]
# The lower bound stands at each field: msgspec lets a field add a bound to its alias but not move one.
Seconds = Annotated[float, Meta(le=31_536_000)]
Milliseconds = Annotated[int, Meta(le=600_000)]
PortNumber = Annotated[int, Meta(ge=1, le=65535)]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class Gateway(_Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who this gateway is."""

    operator: Annotated[Code, Meta(description="Code of the operator, as it stands in topics and payloads.")]
    station: Annotated[Code, Meta(description="Code of the station.")]
    gateway: Annotated[Code, Meta(description="Code of this gateway, unique in its station.")]
    name: Annotated[str, Meta(description="Name of the station for people, in any language.", max_length=64)] = ""
    language: Annotated[Literal["en", "zh"], Meta(description="Language of the screens when the caller's is not known.")] = "en"
    latitude: Annotated[
        float, Meta(description="Latitude of the station in degrees, north positive: inverters sleep by the sun; 0 and 0: not known.", ge=-90, le=90)
    ] = 0.0
    longitude: Annotated[float, Meta(description="Longitude of the station in degrees, east positive.", ge=-180, le=180)] = 0.0

    @property
    def identity(self) -> str:
        """`operator/station/gateway`, as envelopes and the receiver name it."""
        return f"{self.operator}/{self.station}/{self.gateway}"


class Paths(_Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where things lie."""

    state_dir: Annotated[str, Meta(description="Directory of the database and the keys; only the service's user may enter it.")] = "/var/lib/edgegw"
    control_socket: Annotated[str, Meta(description="Socket on which the `edgegw` command talks to the daemon.")] = "/run/edgegw/control.sock"


class Log(_Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the daemon says."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="Least level that is written; a change of state is info.")] = "info"


class Store(_Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The buffer on the disk."""

    window_active_s: Annotated[
        Seconds, Meta(description="Readings are sealed and sent after this time while anything charges or an alarm is open.", ge=0.01)
    ] = 10.0
    window_idle_s: Annotated[Seconds, Meta(description="The same at all other times.", ge=0.01)] = 60.0
    queue_readings_max: Annotated[
        int, Meta(description="Readings that may wait in memory for a slow disk; beyond it the oldest telemetry is dropped and counted.", ge=100, le=1_000_000)
    ] = 20_000
    max_size_mib: Annotated[
        int,
        Meta(description="Most that the database and its log may take of the disk, in MiB; 0: half of the file system, at most 8192.", ge=0, le=1_048_576),
    ] = 0
    keep_readings_days: Annotated[
        int, Meta(description="Readings that every cloud has confirmed are kept so long; what is not confirmed is never removed by age.", ge=1, le=36_500)
    ] = 30
    written_mb_a_day_max: Annotated[
        int, Meta(description="More megabytes written to the disk a day than this are told as a warning: flash wears out.", ge=1, le=1_000_000)
    ] = 1500
    keep_records_days: Annotated[int, Meta(description="The same for statistics, sessions and reports.", ge=1, le=36_500)] = 1096
    keep_events_days: Annotated[int, Meta(description="The same for alarms, events and the audit record.", ge=1, le=36_500)] = 1096


class Bus(_Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One line and the task that owns it."""

    name: Annotated[Name, Meta(description="Name of the bus.")]
    kind: Annotated[
        Literal["serial", "tcp", "rtu-over-tcp"],
        Meta(description="A serial port, Modbus TCP, or through a serial server the bytes of a serial line (Modbus RTU, DL/T 645, UPS)."),
    ]
    path: Annotated[str, Meta(description="Serial port, best by a name that stays: /dev/serial/by-path/... or /dev/edgegw/...")] = ""
    baudrate: Annotated[Literal[1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200], Meta(description="Speed of the serial line.")] = 9600
    parity: Annotated[Literal["N", "E", "O"], Meta(description="Parity of the serial line: N none, E even, O odd.")] = "N"
    stop_bits: Annotated[Literal[1, 2], Meta(description="Stop bits of the serial line.")] = 1
    host: Annotated[str, Meta(description="Address or name of the Modbus TCP server or serial server.")] = ""
    port: Annotated[PortNumber, Meta(description="TCP port of the server.")] = 502
    answer_timeout_ms: Annotated[
        Milliseconds, Meta(description="Longest wait for an answer, from the end of the request to the answer's last byte.", ge=20)
    ] = 1000
    gap_ms: Annotated[Milliseconds, Meta(description="Least pause between an answer and the next request, beyond the protocol's own silence.", ge=0)] = 0
    connect_delay_ms: Annotated[Milliseconds, Meta(description="Pause after opening the line before the first request.", ge=0)] = 0
    late_answer_guard_ms: Annotated[
        Milliseconds,
        Meta(description="After a time-out no question that the late answer could fit is asked for this long.", ge=100),
    ] = 3000


class Contact(_Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How one input of a device is wired."""

    contact: Annotated[Literal["no", "nc"], Meta(description="no: closed is 1, the alarm; nc: open is, and the value is turned round.")] = "no"
    fail_safe: Annotated[bool, Meta(description="An input that cannot be read for 3 s is told as lost.")] = False
    debounce_ms: Annotated[Milliseconds, Meta(description="A new value counts only after it was seen unchanged for this long.", ge=0)] = 0
    name: Annotated[str, Meta(description="Name of the input for people, in any language.", max_length=64)] = ""
    role: Annotated[
        Literal["", "smoke", "fire", "water", "intrusion", "door", "emergency_stop", "breaker_trip", "spd", "mains"],
        Meta(description="What the contact tells: the shipped rule of that name watches it."),
    ] = ""


class Device(_Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One thing that answers."""

    code: Annotated[Name, Meta(description="Code of the device, unique in the station.")]
    bus: Annotated[Name, Meta(description="Bus that the device is on.")]
    unit: Annotated[
        int, Meta(description="Modbus unit id of the device on its bus, 1 to 247, over TCP to 255; 0 where its protocol has none.", ge=0, le=255)
    ] = 0
    address: Annotated[
        str, Meta(description="DL/T 645 address of the meter: the up to 12 digits on its nameplate; empty for other protocols.", pattern="^[0-9]{0,12}$")
    ] = ""
    profile: Annotated[
        str, Meta(description="Product of the device: a profile of edgegw's own (docs/profiles.md), or the full path of a file of yours that ends in .toml.")
    ]
    name: Annotated[str, Meta(description="Name of the device for people, in any language.", max_length=64)] = ""
    serial_number: Annotated[
        str, Meta(description="Serial number that the device must tell, where its profile can read it; empty: any is right.", max_length=64)
    ] = ""
    location: Annotated[str, Meta(description="Where the device stands: zone, bay or cabinet.", max_length=64)] = ""
    points: Annotated[
        list[str], Meta(description="Read only the points with these names; * stands for any letters, as in energy.*. Empty: all that the profile has.")
    ] = []
    period_s: Annotated[
        dict[str, Annotated[float, Meta(ge=0.02, le=86_400)]],
        Meta(description="Poll period of a group of points, instead of the profile's."),
    ] = {}
    offline_after_s: Annotated[
        Seconds, Meta(description="Without an answer for this long, and 3 polls failed, the device is offline; 0: 15 s, an inverter 60 s.", ge=0)
    ] = 0.0

    rated_kw: Annotated[
        float,
        Meta(description="Rated power in kW, of an inverter the peak power of its modules: its registers are judged by it; 0: not judged.", ge=0, le=1_000_000),
    ] = 0.0
    sleep_states: Annotated[
        list[Annotated[int, Meta(ge=0)]],
        Meta(description="Codes of the point state with which an inverter goes to sleep: when it falls silent after one of them it is asleep."),
    ] = []
    input: Annotated[
        dict[str, Contact],
        Meta(description='How its inputs are wired, by number: input = { "4" = { contact = "nc", fail_safe = true, debounce_ms = 1000, name = "smoke" } }.'),
    ] = {}

    roles: Annotated[
        dict[str, Literal["ambient", "busbar", "joint", "battery_box", "array"]],
        Meta(description='What its points measure, where rules must know: roles = { "temperature.1" = "busbar", "temperature.8" = "ambient" }.'),
    ] = {}

    @property
    def key(self) -> int:
        """What tells it from the others of its bus: the unit id, or the number that its address is."""
        return int(self.address) if self.address else self.unit


class Alarms(_Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is judged beside the rules of this file."""

    shipped_rules: Annotated[bool, Meta(description="The rules that every station has (edgegw rules list); a [[rule]] of the same name changes one.")] = True


class Computed(_Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One point that is computed of others."""

    code: Annotated[Name, Meta(description="Device that the point belongs to, of class computed; several points may share it.")]
    point: Annotated[str, Meta(description="Name of the point, as in the dictionary, which gives its unit.")]
    operation: Annotated[
        Literal["sum", "difference", "ratio", "unbalance", "dew_point", "dew_margin"],
        Meta(
            description="sum of all; difference: the first less all others; ratio: the first over the second; unbalance: of three line voltages; "
            "dew_point: of temperature and humidity; dew_margin: how far a surface, the third input, is above it."
        ),
    ]
    inputs: Annotated[list[str], Meta(description='What it is computed of: ["AC-01.active_power", "AC-02.active_power"].')]
    period_s: Annotated[float, Meta(description="It is computed anew at most this often.", ge=0.1, le=86_400)] = 10.0


class Balance(_Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Points that must add up to another one."""

    name: Annotated[Name, Meta(description="Name of the comparison, unique.")]
    total: Annotated[str, Meta(description='The whole, as "MAIN.energy.import".')]
    parts: Annotated[
        list[str], Meta(description='The parts, of the same unit; one with - in front is taken off: ["AC-01.energy.import", "-PV.energy.export"].')
    ]
    tolerance_percent: Annotated[float, Meta(description="They may differ by this much of the whole.", ge=0, le=100)] = 5.0
    window_s: Annotated[Seconds, Meta(description="Over this time.", ge=1)] = 86_400.0
    parts_may_be_less: Annotated[bool, Meta(description="Only parts that are more than the whole are told: the whole has other loads too.")] = False


class Deadband(_Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Readings that say nothing new are not stored and not sent; alarms and screens see every one."""

    point: Annotated[str, Meta(description="Measured points with a band; * stands for any letters. Counters and energy never have one.", min_length=1)]
    device: Annotated[str, Meta(description="Of these devices; * stands for any letters.")] = "*"
    absolute: Annotated[float, Meta(description="A change of up to this much is nothing new, in the point's unit.", ge=0)] = 0.0
    percent: Annotated[float, Meta(description="Or of up to this part of the last value that was stored.", ge=0, le=100)] = 0.0
    heartbeat_s: Annotated[float, Meta(description="After this time a reading is stored all the same.", ge=1, le=3600)] = 60.0


class Uplink(_Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One cloud."""

    name: Annotated[Name, Meta(description="Name of the uplink; what this cloud has confirmed is kept under it.")]
    broker: Annotated[str, Meta(description="Broker: mqtts://host:8883; mqtt:// only towards this machine itself.", pattern="^mqtts?://[^/ ]+$")]
    recipient_file: Annotated[
        str, Meta(description="Public keys of the cloud (`edgegw keys new cloud` there): payloads are sealed for it, receipts must bear its signature.")
    ]
    key_dir: Annotated[str, Meta(description="Directory of this gateway's own keys (`edgegw keys new gateway`); empty: keys below state_dir.")] = ""
    ca_file: Annotated[str, Meta(description="Certificate authority of the broker; empty: the system's.")] = ""
    cert_file: Annotated[str, Meta(description="Client certificate for the broker.")] = ""
    cert_key_file: Annotated[str, Meta(description="Private key of the client certificate; mode 0600.")] = ""
    client_id: Annotated[str, Meta(description="MQTT client id; empty: made from the three codes.", max_length=64)] = ""
    username: Annotated[str, Meta(description="User name for the broker, where it wants one.")] = ""
    password_file: Annotated[str, Meta(description="File with the password for the broker; mode 0600.")] = ""
    keepalive_s: Annotated[int, Meta(description="MQTT keep-alive.", ge=5, le=850)] = 60
    connect_timeout_s: Annotated[Seconds, Meta(description="Longest wait for TCP, TLS and CONNACK together.", ge=0.01)] = 20.0
    puback_timeout_s: Annotated[Seconds, Meta(description="A message without PUBACK for this long ends the connection.", ge=0.01)] = 20.0
    receipt_timeout_s: Annotated[Seconds, Meta(description="Without a receipt for this long after PUBACK a batch is sent again.", ge=0.01)] = 120.0
    ack: Annotated[
        Literal["receipt", "broker"],
        Meta(
            description="What counts as delivered. receipt: the cloud's signed word. broker: the broker's PUBACK, for a cloud without the receiver; "
            "what the broker or anyone behind it then drops is lost to the cloud, unless it asks for it again while it is stored."
        ),
    ] = "receipt"
    topic: Annotated[
        str,
        Meta(
            description="Where batches go: {operator}, {station}, {gateway}, {client_id} are filled in; {kind} is e, n, t, h or m. "
            "Without {kind} everything goes to one topic.",
            min_length=1,
            max_length=128,
        ),
    ] = "egw/1/{operator}/{station}/{gateway}/{kind}"
    topic_status: Annotated[str, Meta(description="Status and will, in clear; empty: none.", max_length=128)] = "egw/1/{operator}/{station}/{gateway}/s"
    topic_receipt: Annotated[str, Meta(description="Where receipts come from.", max_length=128)] = "egw/1/{operator}/{station}/{gateway}/d/ack"
    topic_command: Annotated[str, Meta(description="Where signed commands come from; empty: none are taken.", max_length=128)] = (
        "egw/1/{operator}/{station}/{gateway}/d/cmd"
    )
    pad_to_bytes: Annotated[
        int, Meta(description="Sealed batches are lengthened to a multiple of this, so that their size tells less of what happens; 0: not.", ge=0, le=1024)
    ] = 0
    points: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...],
        Meta(description="Only points of these names are sent (`energy.*`, `gun1.state`); empty: all. Events are always sent.", max_length=100),
    ] = ()
    quota_mb_month: Annotated[
        int,
        Meta(
            description="Megabytes that the SIM card may carry in a month, both ways. Alarms at 80 and 100 %; from 80 % on readings are collected over "
            "window_idle_s whatever happens; 0: no limit.",
            ge=0,
        ),
    ] = 0
    at_quota: Annotated[
        Literal["send", "hold"],
        Meta(
            description="At 100 % of the quota. send: go on, the alarm tells. hold: only events, energy and records are sent, telemetry waits in the store "
            "for the next month."
        ),
    ] = "send"
    backlog_batches_per_s: Annotated[float, Meta(description="Batches of backlog a second; 0: no limit.", ge=0)] = 2.0
    backlog_start_s_max: Annotated[
        Seconds, Meta(description="After an outage of more than 10 minutes the backlog starts after a random time up to this; 0: at once.", ge=0)
    ] = 300.0


class Config(_Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    gateway: Gateway
    paths: Paths = Paths()
    log: Log = Log()
    store: Store = Store()
    bus: list[Bus] = []
    device: list[Device] = []
    alarms: Alarms = Alarms()
    level: list[Level] = []
    supply: Supply = Supply()
    rule: list[Rule] = []
    computed: list[Computed] = []
    balance: list[Balance] = []
    deadband: list[Deadband] = []
    uplink: list[Uplink] = []
    telling: TellingTable = TellingTable()
    channel: list[ChannelTable] = []
    recipient: list[Recipient] = []
    route: list[Route] = []
