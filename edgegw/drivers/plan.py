"""Points to questions: the fewest milliseconds of line time. Pure.

One answer is one reading, so a poll group becomes one source for each question (`electrical`, `electrical.2`, ...). Which points share a
question is decided by cost: the bytes of a gap against one more request. The cut into blocks is the cheapest there is, found by
dynamic programming over the points in the order of their addresses.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import accumulate
from operator import itemgetter
from typing import NamedTuple

from edgegw.config.model import Bus, Device
from edgegw.drivers import holes as holes_of
from edgegw.drivers import modbus_codec, origins
from edgegw.drivers.base import Decode, DevicePlan, Division, LineFacts, Locate, Part, Pieces, PlannedSource, character_ms, silence_ms
from edgegw.drivers.decode import compile_block
from edgegw.drivers.identity import introduction_of
from edgegw.drivers.profile import BITS_MAX, PointRow, Profile
from edgegw.errors import EXIT_USAGE, EdgegwError
from edgegw.model import Point, Question, Source

# Devices take 20-50 ms to begin their answer (field values). Near the middle of it; the plan only compares.
TURNAROUND_MS = 30.0
# A question over Ethernet to a device in the same station: measured 0.2-5 ms with the device's own time.
TCP_ROUND_TRIP_MS = 5.0
# A question costs its late-answer resync parts at most this many tries before the guard is waited out.
RESYNC_PARTS = 3
# Profiles times kinds of line whose shared part is kept: more than any station has.
LAYOUTS_KEPT = 256


class Block(NamedTuple):
    """One request, and the points that its answer holds."""

    function: int
    address: int
    length: int
    """Registers; bits with functions 1 and 2."""
    rows: tuple[PointRow, ...]


def line_facts(bus: Bus) -> LineFacts:
    """What a plan has to know of this bus."""
    if bus.kind == "tcp":
        return LineFacts("tcp", 0.0, TCP_ROUND_TRIP_MS + bus.gap_ms)
    silence = silence_ms(bus)
    round_trip_ms = TCP_ROUND_TRIP_MS if bus.kind == "rtu-over-tcp" else 0.0
    return LineFacts("rtu", character_ms(bus), silence + max(silence, bus.gap_ms) + TURNAROUND_MS + round_trip_ms)


class _Layout(NamedTuple):
    """What all devices of a profile share of one question: made once, so that two hundred equal devices start as fast as one."""

    title: str
    """Of the source: the group, numbered from its second question on."""
    group: str
    block: Block
    points: tuple[Point, ...]
    decode: Decode
    locate: Locate


def plan_device(device: Device, profile: Profile, line: LineFacts, first_source_id: int) -> DevicePlan:
    """All questions of one device. Raises EdgegwError when the device names a poll group that its profile has not."""
    sources: list[PlannedSource] = []
    for layout in _layouts(profile, line):
        group = profile.group[layout.group]
        period_s = device.period_s.get(layout.title, device.period_s.get(layout.group, group.period_s))
        source = Source(
            source_id=first_source_id + len(sources),
            device=device.code,
            group=layout.title,
            period_ms=max(1, round(period_s * 1000)),
            points=layout.points,
            device_class=profile.profile.device_class,
            stream=group.lane,
        )
        sources.append(_planned(source, device.unit, profile, layout, line))
    _check_groups(device, profile, sources)
    head = profile.profile
    return DevicePlan(
        device=device.code,
        device_class=head.device_class,
        unit=device.unit,
        profile=head.name,
        sources=tuple(sources),
        probe=_question(device.unit, _shortest(profile), line),
        gap_ms=head.gap_ms,
        connect_delay_ms=head.connect_delay_ms if line.framing == "tcp" else 0,
        introduce=introduction_of(profile, partial(_ask, device.unit, line)),
    )


def _planned(source: Source, unit: int, profile: Profile, layout: _Layout, line: LineFacts) -> PlannedSource:
    block = layout.block
    atoms = _atoms(list(block.rows))
    return PlannedSource(
        source,
        (_question(unit, block, line),),
        layout.decode,
        profile.group[layout.group].urgent,
        f"{block.function}:{block.address}+{block.length}:{','.join(str(atom.first) for atom in atoms)}",
        len(atoms),
        partial(_divide, unit, profile, block, line),
        locate=layout.locate,
    )


def _divide(unit: int, profile: Profile, block: Block, line: LineFacts, refused: frozenset[Pieces]) -> Division:
    """How a block is read of which the device refused these runs of atoms."""
    atoms = _atoms(list(block.rows))
    starts = [0, *accumulate(len(atom.rows) for atom in atoms)]
    ranges, holes = holes_of.cut(len(atoms), refused)
    parts = []
    for first, end in ranges:
        piece = _block(block.function, atoms[first:end])
        decode = compile_block(profile, piece.rows, piece.address, piece.length)
        parts.append(
            Part((first, end), _question(unit, piece, line), decode, (starts[first], starts[end]), partial(origins.registers, piece.rows, piece.address))
        )
    positions = tuple(position for hole in holes for position in range(starts[hole], starts[hole + 1]))
    return Division(tuple(parts), positions, holes_of.worth_keeping(refused))


@lru_cache(maxsize=LAYOUTS_KEPT)
def _layouts(profile: Profile, line: LineFacts) -> tuple[_Layout, ...]:
    """Of every group; the profile counts as itself, not as what it holds."""
    layouts: list[_Layout] = []
    for name in profile.group:
        blocks = plan_blocks(profile, [row for row in profile.point if row.group == name], line)
        for number, block in enumerate(blocks, 1):
            points = tuple(profile.row_point(row) for row in block.rows)
            decode = compile_block(profile, block.rows, block.address, block.length)
            locate = partial(origins.registers, block.rows, block.address)
            layouts.append(_Layout(name if number == 1 else f"{name}.{number}", name, block, points, decode, locate))
    return tuple(layouts)


def plan_blocks(profile: Profile, rows: Iterable[PointRow], line: LineFacts) -> list[Block]:
    """The cheapest set of requests that reads all rows, in the order of function and address."""
    by_function: dict[int, list[PointRow]] = {}
    for row in rows:
        by_function.setdefault(row.function, []).append(row)
    return [block for function, group in sorted(by_function.items()) for block in _cheapest(profile, function, _atoms(group), line)]


def block_ms(block: Block, line: LineFacts) -> float:
    """Line time of one request and its answer."""
    return _request_ms(block.function, block.length, line)


def _request_ms(function: int, length: int, line: LineFacts) -> float:
    return line.request_cost_ms + line.byte_ms * (8 + 5 + modbus_codec.data_size(function, length))


def question_ms(question: Question, line: LineFacts, gap_ms: float = 0) -> float:
    """Predicted line time of one question: (8 + 5 + 2N) characters, turnaround and two silences."""
    return line.request_cost_ms + line.byte_ms * (len(question.payload) + question.answer_size) + gap_ms


def round_ms(plans: Sequence[DevicePlan], line: LineFacts) -> float:
    """Predicted time of asking every question of the bus once."""
    return sum(cost_ms for cost_ms, _ in _costs(plans, line))


def busy_share(plans: Sequence[DevicePlan], line: LineFacts) -> float:
    """Predicted share of its time in which the bus is asked or answers; above 1 it cannot keep its periods."""
    return sum(cost_ms / period_ms for cost_ms, period_ms in _costs(plans, line))


def lateness_ms(plans: Sequence[DevicePlan], line: LineFacts) -> float:
    """Predicted longest time from due to asked, when everything is due at once: the round without its last question.

    A bus that is asked for more than it carries always has a source that is one slot behind: a round and that source's period.
    """
    costs = list(_costs(plans, line))
    if not costs:
        return 0.0
    if busy_share(plans, line) > 1:
        return sum(cost_ms for cost_ms, _ in costs) + min(period_ms for _, period_ms in costs)
    return sum(cost_ms for cost_ms, _ in costs) - costs[-1][0]


def _costs(plans: Sequence[DevicePlan], line: LineFacts) -> Iterator[tuple[float, int]]:
    """Of each question its line time and its period."""
    for plan in plans:
        for source in plan.sources:
            for question in source.questions or source.usual:
                yield question_ms(question, line, plan.gap_ms), source.source.period_ms


class _Atom(NamedTuple):
    """Rows that overlap and so are read together: a value is never cut, an exponent never parted from its mantissa."""

    first: int
    last: int
    rows: tuple[PointRow, ...]


def _atoms(rows: list[PointRow]) -> list[_Atom]:
    atoms: list[_Atom] = []
    for row in sorted(rows, key=lambda row: row.span):
        first, last = row.span
        if atoms and first <= atoms[-1].last:
            before = atoms.pop()
            atoms.append(_Atom(before.first, max(before.last, last), (*before.rows, row)))
        else:
            atoms.append(_Atom(first, last, (row,)))
    return atoms


def _cheapest(profile: Profile, function: int, atoms: list[_Atom], line: LineFacts) -> list[Block]:
    """`best_ms[end]` is the least time for the first `end` atoms; the last request of that begins at `cut[end]`."""
    best_ms, cut = [0.0], [0]
    for end in range(1, len(atoms) + 1):
        choices: list[tuple[float, int]] = []
        for start in range(end - 1, -1, -1):
            if start < end - 1 and not _may_join(profile, function, atoms[start], atoms[start + 1], atoms[end - 1]):
                break
            length = atoms[end - 1].last - atoms[start].first + 1
            choices.append((best_ms[start] + _request_ms(function, length, line), start))
        cheapest_ms, start = min(choices, key=itemgetter(0))
        best_ms.append(cheapest_ms)
        cut.append(start)
    blocks: list[Block] = []
    end = len(atoms)
    while end:
        blocks.append(_block(function, atoms[cut[end] : end]))
        end = cut[end]
    return blocks[::-1]


def _block(function: int, atoms: Sequence[_Atom]) -> Block:
    rows = tuple(row for atom in atoms for row in atom.rows)
    return Block(function, atoms[0].first, atoms[-1].last - atoms[0].first + 1, rows)


def _may_join(profile: Profile, function: int, atom: _Atom, following: _Atom, last: _Atom) -> bool:
    """Whether a request that reads from `following` to `last` may begin at `atom`; when it may not, it may begin at none before it either."""
    head = profile.profile
    if head.one_item:
        return False
    limit = BITS_MAX if function in (1, 2) else head.max_registers
    if last.last - atom.first + 1 > limit or any(atom.first <= b and a <= last.last for a, b in head.forbidden):
        return False
    return following.first - atom.last - 1 <= head.max_gap or any(a <= atom.last and following.first <= b for a, b in head.readable)


def _question(unit: int, block: Block, line: LineFacts) -> Question:
    if line.framing == "tcp":
        return modbus_codec.tcp_question(unit, block.function, block.address, block.length)
    parts = [modbus_codec.rtu_question(unit, block.function, block.address, count) for count in _part_counts(block)]
    return modbus_codec.rtu_question(unit, block.function, block.address, block.length, parts)


def _ask(unit: int, line: LineFacts, function: int, address: int, count: int) -> Question:
    make = modbus_codec.tcp_question if line.framing == "tcp" else modbus_codec.rtu_question
    return make(unit, function, address, count)


def _part_counts(block: Block) -> list[int]:
    """Shorter reads of the same block with other byte counts, shortest first, cutting no value: some devices refuse half a value."""
    whole = modbus_codec.data_size(block.function, block.length)
    sizes: dict[int, int] = {}
    for atom in _atoms(list(block.rows))[:-1]:
        count = atom.last - block.address + 1
        sizes.setdefault(modbus_codec.data_size(block.function, count), count)
    sizes.pop(whole, None)
    return list(sizes.values())[:RESYNC_PARTS]


def _shortest(profile: Profile) -> Block:
    """The probe: the first of the smallest values."""
    row = min(profile.point, key=lambda row: row.count if row.exponent is None else math.inf)
    return Block(row.function, row.address, row.count, (row,))


def _check_groups(device: Device, profile: Profile, sources: Sequence[PlannedSource]) -> None:
    known = {source.source.group for source in sources} | set(profile.group)
    for name in device.period_s:
        if name not in known:
            import difflib  # noqa: PLC0415 - only a mistake needs it

            near = difflib.get_close_matches(name, known, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"it has {', '.join(sorted(known))}"
            raise EdgegwError("E-PLAN-GROUP", f'device "{device.code}": profile {profile.profile.name} has no poll group "{name}"', hint, EXIT_USAGE)
