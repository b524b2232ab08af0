"""Every figure of every shipped rule, as the station model asks for it: set, back, delays, level."""

from __future__ import annotations

import pytest

from edgegw.rules.shipped import shipped_rules

RULES = {rule.name: rule for rule in shipped_rules()}
# name: whom (class or role), point, condition, set, back at (None: as set), on-delay s, off-delay s, level
FIGURES = {
    # supply quality: 220 V +7 -10 %, 380 V +-7 %, +-15 % of both, GB/T 15543, GB/T 15945
    "phase-voltage-high": ("meter", "phase_voltage.*", "high", 235.4, 233.0, 30, 0, "minor"),
    "phase-voltage-low": ("meter", "phase_voltage.*", "low", 198.0, 200.0, 30, 0, "minor"),
    "line-voltage-high": ("meter", "line_voltage.*", "high", 406.6, 402.6, 30, 0, "minor"),
    "line-voltage-low": ("meter", "line_voltage.*", "low", 353.4, 357.4, 30, 0, "minor"),
    "phase-voltage-out-high": ("meter", "phase_voltage.*", "high", 253, 248, 3, 0, "major"),
    "phase-voltage-out-low": ("meter", "phase_voltage.*", "low", 187, 192, 3, 0, "major"),
    "line-voltage-out-high": ("meter", "line_voltage.*", "high", 437, 432, 3, 0, "major"),
    "line-voltage-out-low": ("meter", "line_voltage.*", "low", 323, 328, 3, 0, "major"),
    "unbalance": ("", "voltage_unbalance", "high", 2.0, 1.7, 60, 0, "minor"),
    "unbalance-high": ("", "voltage_unbalance", "high", 4.0, 3.7, 5, 0, "major"),
    "frequency-high": ("meter", "frequency", "high", 50.2, 50.15, 10, 0, "minor"),
    "frequency-low": ("meter", "frequency", "low", 49.8, 49.85, 10, 0, "minor"),
    "frequency-out-high": ("meter", "frequency", "high", 50.5, 50.45, 2, 0, "major"),
    "frequency-out-low": ("meter", "frequency", "low", 49.5, 49.55, 2, 0, "major"),
    "voltage-thd": ("meter", "voltage_thd*", "high", 5.0, 4.5, 60, 0, "notice"),
    "power-factor-low": ("@supply", "power_factor", "low", 0.90, 0.92, 0, 0, "notice"),
    "demand-high": ("@supply", "active_power", "high", 90, 85, 60, 0, "minor"),
    "demand-over": ("@supply", "active_power", "high", 100, 85, 60, 0, "major"),
    "transformer-load-high": ("@supply", "apparent_power", "high", 90, 85, 60, 0, "minor"),
    "transformer-overload": ("@supply", "apparent_power", "high", 100, 85, 60, 0, "major"),
    "phase-loss": ("meter", "phase_voltage.*", "low", 110, 115, 3, 0, "critical"),
    "mains-suspect-phases": ("@supply", "phase_voltage.a", "low", 22, 22, 2, 30, "major"),
    "mains-lost-phases": ("@supply", "phase_voltage.a", "low", 22, 22, 2, 30, "critical"),
    "mains-suspect": ("mains", "input.*", "equals", 1, None, 2, 30, "major"),
    "mains-lost": ("mains", "input.*", "equals", 1, None, 2, 30, "critical"),
    # UPS
    "ups-on-battery": ("ups", "ups.status", "word", "OB", None, 2, 10, "major"),
    "ups-low-battery": ("ups", "ups.status", "word", "LB", None, 0, 0, "critical"),
    "ups-low-battery-alarm": ("ups", "ups.alarm*", "word", "LB", None, 0, 0, "critical"),
    "ups-silent-on-battery": ("ups", "ups.status", "missing", 15, None, 0, 0, "critical"),
    "ups-charge-low": ("ups", "battery.charge", "low", 20, 30, 0, 0, "critical"),
    "ups-runtime-low": ("ups", "battery.runtime", "low", 300, 300, 0, 0, "critical"),
    "ups-battery-falling": ("ups", "battery.charge", "low", 50, 50, 0, 0, "minor"),
    "ups-replace-battery": ("ups", "ups.status", "word", "RB", None, 0, 0, "minor"),
    "ups-replace-battery-alarm": ("ups", "ups.*", "word", "RB replace_battery", None, 0, 0, "minor"),
    "ups-float-voltage-low": ("ups", "battery.voltage.cell", "low", 2.10, 2.10, 86_400, 0, "minor"),
    "ups-bypass": ("ups", "ups.status", "word", "BYPASS", None, 10, 0, "major"),
    "ups-overload": ("ups", "ups.status", "word", "OVER", None, 5, 0, "critical"),
    "ups-load-over": ("ups", "ups.load", "high", 100, 75, 5, 0, "critical"),
    "ups-load-high": ("ups", "ups.load", "high", 80, 75, 60, 0, "minor"),
    "ups-warm": ("ups", "ups.temperature", "high", 40, 37, 60, 0, "minor"),
    "ups-hot": ("ups", "ups.temperature", "high", 50, 47, 60, 0, "major"),
    "ups-battery-warm": ("ups", "battery.temperature", "high", 35, 32, 300, 0, "minor"),
    "ups-battery-hot": ("ups", "battery.temperature", "high", 45, 42, 300, 0, "major"),
    "ups-fault-status": ("ups", "ups.status", "word", "fault", None, 0, 0, "critical"),
    # PV
    "inverter-fault": ("inverter", "state.text", "word", "fault error rapid", None, 0, 0, "major"),
    "grid-trip": ("inverter", "alarms.*", "word", "2032 2033 2034 2035 2036 2037 2038", None, 0, 0, "major"),
    "insulation-low": ("inverter", "insulation_resistance", "low", 1000, 1050, 60, 0, "minor"),
    "insulation-lost": ("inverter", "insulation_resistance", "low", 50, 60, 5, 0, "critical"),
    "insulation-alarm": ("inverter", "alarms.2", "word", "2062", None, 0, 0, "minor"),
    "insulation-alarm-bits": ("inverter", "faults", "word", "isolation", None, 0, 0, "minor"),
    "string-fault": ("inverter", "string.*.current", "below_others", 50, 60, 900, 0, "minor"),
    "string-alarm": ("inverter", "alarms.*", "word", "2011 2012 2013 2014 2015", None, 0, 0, "minor"),
    "string-fuse": ("inverter", "faults", "word", "blown_string_fuse", None, 0, 0, "minor"),
    "string-fuse-mppt": ("inverter", "mppt.*.faults", "word", "blown_fuse", None, 0, 0, "minor"),
    "inverter-warm": ("inverter", "temperature.internal", "high", 65, 62, 60, 0, "minor"),
    "inverter-hot": ("inverter", "temperature.internal", "high", 75, 72, 60, 0, "major"),
    "derating": ("inverter", "state.text", "word", "throttled self-derating derating", None, 1800, 0, "notice"),
    "inverter-voltage-high": ("inverter", "phase_voltage.*", "high", 242.0, 240.0, 30, 0, "minor"),
    # environment and safety
    "cabinet-warm": ("sensor", "temperature", "high", 45, 40, 60, 0, "minor"),
    "cabinet-hot": ("sensor", "temperature", "high", 55, 50, 60, 0, "major"),
    "cabinet-cold": ("sensor", "temperature", "low", -20, -17, 300, 0, "minor"),
    "joint-hot": ("sensor", "temperature.*", "high", 70, 65, 30, 0, "major"),
    "joint-burning": ("sensor", "temperature.*", "high", 90, 85, 30, 0, "critical"),
    "joint-rise": ("sensor", "temperature.*", "rise", 10, 5, 30, 0, "major"),
    "busbar-sister": ("busbar", "temperature.*", "above_others", 15, 10, 30, 0, "major"),
    "connector-hot": ("pile", "gun*.temp", "high", 90, 80, 5, 0, "major"),
    "humid": ("sensor", "humidity", "high", 90, 85, 600, 0, "minor"),
    "condensation": ("computed", "dew_margin", "low", 2, 3, 600, 0, "minor"),
    "battery-box-warm": ("battery_box", "temperature", "high", 35, 32, 300, 0, "minor"),
    "battery-box-hot": ("battery_box", "temperature", "high", 45, 42, 300, 0, "major"),
    "smoke": ("smoke", "input.*", "equals", 1, None, 1, 60, "critical"),
    "fire": ("fire", "input.*", "equals", 1, None, 1, 60, "critical"),
    "water": ("water", "input.*", "equals", 1, None, 2, 60, "critical"),
    "intrusion": ("intrusion", "input.*", "equals", 1, None, 1, 0, "major"),
    "door-open": ("door", "input.*", "equals", 1, None, 300, 0, "minor"),
    "emergency-stop": ("emergency_stop", "input.*", "equals", 1, None, 0.5, 0, "critical"),
    "breaker-trip": ("breaker_trip", "input.*", "equals", 1, None, 0.5, 0, "critical"),
    "spd-failed": ("spd", "input.*", "equals", 1, None, 0.5, 0, "minor"),
    # the gateway and its links
    "uplink-silent": ("gateway", "uplink.age", "high", 600, 600, 0, 0, "major"),
    "uplink-silent-day": ("gateway", "uplink.age", "high", 86_400, 86_400, 0, 0, "major"),
    "buffer-filling": ("gateway", "buffer.used", "high", 70, 65, 0, 0, "minor"),
    "buffer-full": ("gateway", "buffer.used", "high", 90, 85, 0, 0, "major"),
    "backlog-old": ("gateway", "buffer.oldest_age", "high", 86_400, 86_400, 0, 0, "major"),
    "clock-off": ("gateway", "clock.offset", "high", 2, 1.5, 300, 0, "notice"),
    "clock-wrong": ("gateway", "clock.offset", "high", 60, 55, 300, 0, "major"),
    "link-errors": ("link", "link.error_rate", "high", 5, 4, 90, 0, "notice"),
}
# Lists of words too long for a table; their levels.
WORDS = {"ups-fault": "critical", "inverter-alarm": "major", "inverter-alarm-bits": "major", "grid-trip-bits": "major"}
# Rules of one alarm: the most severe that holds speaks.
TOGETHER = {
    "voltage high": {"phase-voltage-high", "phase-voltage-out-high"},
    "voltage low": {"phase-voltage-low", "phase-voltage-out-low"},
    "line voltage high": {"line-voltage-high", "line-voltage-out-high"},
    "line voltage low": {"line-voltage-low", "line-voltage-out-low"},
    "unbalance": {"unbalance", "unbalance-high"},
    "frequency": {"frequency-high", "frequency-low", "frequency-out-high", "frequency-out-low"},
    "demand": {"demand-high", "demand-over"},
    "transformer load": {"transformer-load-high", "transformer-overload"},
    "phase loss": {"phase-loss"},
    "mains": {"mains-suspect", "mains-lost", "mains-suspect-phases", "mains-lost-phases"},
    "ups battery": {"ups-low-battery", "ups-low-battery-alarm", "ups-silent-on-battery", "ups-charge-low", "ups-runtime-low", "ups-battery-falling"},
    "ups replace battery": {"ups-replace-battery", "ups-replace-battery-alarm", "ups-float-voltage-low"},
    "ups load": {"ups-overload", "ups-load-over", "ups-load-high"},
    "ups temperature": {"ups-warm", "ups-hot"},
    "battery temperature": {"ups-battery-warm", "ups-battery-hot"},
    "ups fault": {"ups-fault", "ups-fault-status"},
    "inverter fault": {"inverter-fault", "inverter-alarm", "inverter-alarm-bits"},
    "grid trip": {"grid-trip", "grid-trip-bits"},
    "string fault": {"string-fault"},
    "string alarm": {"string-alarm", "string-fuse", "string-fuse-mppt"},
    "insulation": {"insulation-low", "insulation-lost", "insulation-alarm", "insulation-alarm-bits"},
    "inverter temperature": {"inverter-warm", "inverter-hot"},
    "temperature high": {"cabinet-warm", "cabinet-hot", "battery-box-warm", "battery-box-hot"},
    "joint temperature": {"joint-hot", "joint-burning", "joint-rise", "busbar-sister"},
    "buffer": {"buffer-filling", "buffer-full"},
    "clock": {"clock-off", "clock-wrong"},
}


def back_at(rule):
    """Where the alarm clears: the limit, moved by the deadband towards the normal side."""
    if rule.condition in ("high", "rise", "above_others"):
        return round(rule.limit - rule.deadband, 6)
    return round(rule.limit + rule.deadband, 6) if rule.condition in ("low", "below_others") else None


@pytest.mark.parametrize("name", FIGURES)
def test_a_rule_has_the_figures_of_the_station_model(name):
    """Whom it judges, what sets it, what ends it, how long both must last, and how severe it is."""
    rule = RULES[name]
    whom = rule.role or rule.device_class or ",".join(rule.devices)
    limit = " ".join((rule.word, *rule.words)).strip() if rule.condition == "word" else rule.limit
    assert FIGURES[name] == (whom, rule.point, rule.condition, limit, back_at(rule), rule.on_delay_s, rule.off_delay_s, rule.level)


def test_no_rule_is_without_its_figures():
    """A new rule needs a row here."""
    assert set(RULES) == set(FIGURES) | set(WORDS)
    assert WORDS == {name: RULES[name].level for name in WORDS}


def test_levels_of_one_thing_are_one_alarm():
    """The rules of one episode, no more and no fewer; whoever has one point for several alarms says so in all of them."""
    found: dict[str, set[str]] = {}
    for rule in RULES.values():
        if rule.episode:
            found.setdefault(rule.episode, set()).add(rule.name)
    assert TOGETHER == found
    patterns = {name: {"*" in RULES[rule].point and not RULES[rule].per_device for rule in rules} for name, rules in TOGETHER.items() if name != "mains"}
    assert dict.fromkeys(patterns, 1) == {name: len(kinds) for name, kinds in patterns.items()}


def test_what_must_hold_beside_and_how_long_is_averaged():
    """The quantities that the table above has no column for."""
    on_battery = {name for name, rule in RULES.items() if any(term.word == "OB" for term in rule.when)}
    assert {"ups-charge-low", "ups-runtime-low", "ups-battery-falling", "ups-silent-on-battery", "mains-lost", "mains-lost-phases"} == on_battery
    assert {"power-factor-low": 900, "link-errors": 600} == {name: rule.average_s for name, rule in RULES.items() if rule.average_s}
    assert {"joint-rise": 600} == {name: rule.window_s for name, rule in RULES.items() if rule.condition in ("rise", "fall")}
    assert {"string-fault": 2} == {name: rule.least for name, rule in RULES.items() if rule.least}
    assert {"ups-charge-low", "ups-runtime-low", "mains-lost", "mains-lost-phases"} == {name for name, rule in RULES.items() if rule.hold == "any"}
    assert {"ups-replace-battery", "ups-replace-battery-alarm", "ups-float-voltage-low"} == {name for name, rule in RULES.items() if rule.latched}
    assert {"smoke", "fire", "water", "intrusion"} == {name for name, rule in RULES.items() if rule.safety}
    low_battery = {"ups-low-battery", "ups-low-battery-alarm", "ups-silent-on-battery", "ups-charge-low", "ups-runtime-low"}
    assert low_battery == {name for name, rule in RULES.items() if rule.alone}


def test_every_text_is_there_twice_and_every_basis_is_one():
    """English and Chinese, and a basis that names a standard, a product, memory, or says that the figure is estimated."""
    assert [] == [name for name, rule in RULES.items() if bool(rule.text) != bool(rule.text_zh)]
    assert [] == [name for name, rule in RULES.items() if len(rule.basis) < len("contact")]
    assert [] == [name for name, rule in RULES.items() if rule.text_zh and rule.text_zh.isascii()]
