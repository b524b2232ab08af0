"""What the controllers of the charging piles show. Each role is a function of (world, device, seconds passed)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgegw.sim import physics
from edgegw.sim.physics import Measured
from edgegw.sim.station import SimDevice

if TYPE_CHECKING:
    from edgegw.sim.world import World

# The dictionary's connector states.
IDLE, CHARGING = 1.0, 3.0


def _dc_control(world: World, device: SimDevice, passed_s: float) -> Measured:  # noqa: ARG001 - one signature for every role
    """All guns of a DC pile."""
    measured: Measured = {"state": 1.0, "fault_code": 0.0}
    for gun in world.guns:
        if gun[0] == device.pile_code:
            progress, power_kw = world.progress(gun), world.gun_kw(gun)
            voltage_v = physics.dc_voltage_v(progress)
            measured |= _gun(gun[1], voltage_v, power_kw, world)
            measured[f"gun{gun[1]}.soc"] = 20 + 70 * progress if progress is not None else 0.0
            measured[f"gun{gun[1]}.time_left"] = 40 * (1 - progress) if progress is not None else 0.0
    return measured


def _ac_control(world: World, device: SimDevice, passed_s: float) -> Measured:  # noqa: ARG001 - as above
    gun = (device.pile_code, device.gun)
    power_kw = world.gun_kw(gun)
    voltage_v = world.phase_v(world.ac_piles.index(device.pile_code) % 3)
    return {"state": 1.0, "fault_code": 0.0, **_gun(1, voltage_v, power_kw, world)}


def _gun(number: int, voltage_v: float, power_kw: float, world: World) -> Measured:
    current_a = power_kw / voltage_v * 1000 if voltage_v else 0.0
    return {
        f"gun{number}.state": CHARGING if power_kw else IDLE,
        f"gun{number}.voltage": voltage_v,
        f"gun{number}.current": current_a,
        f"gun{number}.power": power_kw,
        f"gun{number}.temp": physics.ambient_c(world.day_s) + 4 + power_kw / 4,
        f"gun{number}.fault_code": 0.0,
    }


PILES: dict[str, Callable[[World, SimDevice, float], Measured]] = {"dc_control": _dc_control, "ac_control": _ac_control}
