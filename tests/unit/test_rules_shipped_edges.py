"""Every shipped rule with a limit, run at the very edges of its figures: one digit before, one digit beyond, a moment too short, and back."""

from __future__ import annotations

import pytest
from rules_rig import EPOCH, alarms, device, edges, reading

from edgegw.config.model import Contact
from edgegw.config.supply_model import Supply
from edgegw.model import Point, Source
from edgegw.points import lookup
from edgegw.rules.engine import Engine
from edgegw.rules.shipped import for_supply, shipped_rules

# With 100 kW and 100 kVA percent are kW and kVA.
SUPPLY = Supply(meter="dev-01", contracted_kw=100, transformer_kva=100)
FITTED = {rule.name: rule for rule in (for_supply(rule, SUPPLY) for rule in shipped_rules()) if rule is not None}
LIMITED = [name for name, rule in FITTED.items() if rule.condition in ("high", "low")]
CONTACTS = [name for name, rule in FITTED.items() if rule.condition == "equals" and not rule.when]
WORDS = [name for name, rule in FITTED.items() if rule.condition == "word"]


def point(pattern):
    """One of the dictionary that the pattern means."""
    for filled in ("a", "ab", "1", "", "alarm"):
        name = pattern.replace("*", filled)
        entry = lookup(name) or lookup(f"{name}.1")
        if entry is not None:
            return Point(entry.name, entry.decimals, entry.unit, entry.kind)
    raise AssertionError(pattern)


class Bench:
    """One rule on one device that has all its points, read ten times in each of its delays."""

    def __init__(self, rule):
        self.rule = rule
        self.step_s = max(1.0, rule.on_delay_s / 10, rule.off_delay_s / 10, rule.average_s / 60)
        judged = point(rule.point)
        beside = {term.point: point(term.point) for term in rule.when if not term.device_class and point(term.point).name != judged.name}
        if any("*" in term.point for term in rule.when):
            beside = {"phase_voltage.*": Point("phase_voltage.b", 1, "V", "measure")}
        self.points = (judged, *beside.values())
        self.source = Source(1, "dev-01", "all", round(self.step_s * 1000), self.points, rule.device_class or "any")
        roles = {judged.name: rule.role} if rule.role and not judged.name.startswith("input.") else {}
        inputs = {judged.name.removeprefix("input."): Contact(role=rule.role)} if judged.name.startswith("input.") else {}
        self.ups = Source(2, "ups-01", "all", round(self.step_s * 1000), (Point("ups.status", 0, "1", "text"),), "ups")
        self.engine = Engine([rule], [device("dev-01", roles=roles, input=inputs), device("ups-01")], [self.source, self.ups], EPOCH, {})
        self.now_s = 0.0

    def beside(self, *, holding):
        values = []
        for term, at in zip([term for term in self.rule.when if not term.device_class], self.points[1:], strict=False):
            if at.kind == "text":
                values.append(term.word if holding else "OFF")
            else:
                beyond = 1 if term.condition == "high" else -1
                values.append(round(term.limit * 10**at.decimals) + beyond * (1 if holding else -10))
        return values

    def hold(self, value, seconds, *, beside=True):
        """This value for so long; edges of rules."""
        found, until_s = [], self.now_s + seconds
        while self.now_s <= until_s:
            found += self.engine.evaluate(reading(self.ups, self.now_s, "OB" if beside else "OL")).events
            found += self.engine.evaluate(reading(self.source, self.now_s + 0.001, value, *self.beside(holding=beside))).events
            self.now_s += self.step_s
        return [line.split(" ")[1] for line in edges(alarms(found)) if line.endswith("dev-01") and "offline" not in line]


@pytest.mark.parametrize("name", LIMITED)
def test_a_limit_is_exact_and_so_is_the_way_back(name):
    """At the limit nothing, one digit beyond it an alarm after the delay and not before; one digit short of the way back it stays, there it ends."""
    rule = FITTED[name]
    judged, sign = point(rule.point), 1 if rule.condition == "high" else -1
    limit = round(rule.limit * 10**judged.decimals)
    back = round((rule.limit - sign * rule.deadband) * 10**judged.decimals)
    bench = Bench(rule)
    long_s = max(rule.on_delay_s, rule.off_delay_s, rule.average_s) + 3 * bench.step_s
    assert [] == bench.hold(limit, long_s)
    if rule.on_delay_s:
        assert [] == bench.hold(limit + sign, rule.on_delay_s - 2 * bench.step_s)
        assert [] == bench.hold(limit, bench.step_s)
    assert ["raised"] == bench.hold(limit + sign, long_s)
    if rule.deadband:
        assert [] == bench.hold(back + sign, long_s)
    ends = ["returned"] if rule.latched else ["cleared"]
    assert ends == bench.hold(back, long_s, beside=rule.hold == "all")


@pytest.mark.parametrize("name", CONTACTS)
def test_a_contact_is_told_after_its_delay_and_over_after_the_other(name):
    """Closed for its on-delay it is an alarm, open for its off-delay it is none."""
    rule = FITTED[name]
    bench = Bench(rule)
    assert [] == bench.hold(0, 10)
    assert ["raised"] == bench.hold(1, rule.on_delay_s + 3 * bench.step_s)
    assert ["cleared"] == bench.hold(0, rule.off_delay_s + 3 * bench.step_s)


@pytest.mark.parametrize("name", WORDS)
def test_each_word_of_a_rule_is_an_alarm_and_no_other_is(name):
    """Between other words or alone; part of a longer word is none."""
    rule = FITTED[name]
    for word in (rule.word, *rule.words):
        if word:
            bench = Bench(rule)
            long_s = max(rule.on_delay_s, rule.off_delay_s) + 3 * bench.step_s
            assert [] == bench.hold(f"x{word} unknown_bit_7", long_s)
            assert ["raised"] == bench.hold(f"first {word} last", long_s)
            assert (["returned"] if rule.latched else ["cleared"]) == bench.hold("", long_s)


def test_every_rule_is_run_at_its_edges_somewhere():
    """Those that are left compare, remember or need two signals, and have tests of their own."""
    left = set(FITTED) - {*LIMITED, *CONTACTS, *WORDS}
    assert {"string-fault", "joint-rise", "busbar-sister", "ups-silent-on-battery", "mains-lost"} == left
