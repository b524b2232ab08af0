"""`edgegw rules`: what a rule asks in short words, and screens that fit a terminal of 80 columns in both languages."""

from __future__ import annotations

import re

import pytest

from edgegw.cli import rules as screens
from edgegw.cli.cells import cells
from edgegw.config.model import Config, Gateway, Rule, Term
from edgegw.config.supply_model import Supply
from edgegw.errors import EdgegwError
from edgegw.rules.figures import beside_text, clear_text, condition_text, set_text, short_text
from edgegw.rules.shipped import with_shipped

CONFIG = Config(
    gateway=Gateway(operator="o", station="s", gateway="g"),
    supply=Supply(meter="MAIN-METER-00001", contracted_kw=1234.5, transformer_kva=400),
    rule=[
        Rule(name="a-name-of-thirty-two-characters-", condition="high", point="phase_voltage.*", limit=1234.5678, on_delay_s=86_400, devices=["M-01", "M-02"])
    ],
)


@pytest.fixture
def shown(monkeypatch):
    """Every rule as the screens get it, on a terminal of 80 columns."""
    monkeypatch.setattr(screens, "screen_width", lambda: 80)
    return [screens._plain(rule, CONFIG) for rule in screens._rules(CONFIG)]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_list_fits_80_columns(shown, language):
    """Up to three lines a rule; what is cut is never the limit: 1000 is not 100.."""
    lines = screens._list_screen(shown, language)
    assert 80 >= max(map(cells, lines))
    starts = [number for number, line in enumerate(lines) if not line.startswith(" ")]
    assert len(shown) + 1 == len(starts)
    blocks = [" ".join(lines[start:end]) for start, end in zip(starts[1:], [*starts[2:], None], strict=True)]
    whole = [re.search(r"(?<![\d.])" + re.escape(f"{rule['limit']:.12g}") + r"(?![\d.])", block) for rule, block in zip(shown, blocks, strict=True)]
    assert [] == [rule["name"] for rule, found in zip(shown, whole, strict=True) if rule["condition"] != "word" and not found]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_rule_fits_80_columns_and_says_everything(shown, language):
    """Wrapped, not cut: each word of a list of thirty is there."""
    for rule in shown:
        lines = list(screens._show_screen(rule, language))
        assert 80 >= max(map(cells, lines)), rule["name"]
        assert all(word in " ".join(lines) for word in rule["words"])


def test_a_rule_says_what_to_do_first_and_what_it_explains(shown):
    """In both languages: the first step of a notice, and the alarms that stay below it."""
    mains = next(rule for rule in shown if rule["name"] == "mains-lost")
    english, chinese = (" ".join("\n".join(screens._show_screen(mains, language)).split()) for language in ("en", "zh"))
    assert ("look at main breaker and transformer" in english, "pile: *, meter: *" in english) == (True, True)
    assert "检查总开关和变压器" in chinese


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"condition": "high", "limit": 45, "deadband": 5, "on_delay_s": 60}, "t > 45, back at 40, 60 s"),
        ({"condition": "low", "limit": 0.9, "deadband": 0.02, "average_s": 900}, "mean of 900 s of t < 0.9, back at 0.92"),
        ({"condition": "equals", "limit": 1, "role": "smoke"}, "smoke: t = 1"),
        ({"condition": "not_equals", "limit": 2}, "t != 2"),
        ({"condition": "bit", "limit": 3}, "t bit 3"),
        ({"condition": "rise", "limit": 10, "window_s": 600, "reference": "@ambient"}, "t rises by 10 more than @ambient in 600 s"),
        ({"condition": "fall", "limit": 10, "window_s": 60, "deadband": 4}, "t falls by 10 in 60 s, back at 6"),
        ({"condition": "deviation", "limit": 5, "reference": "MAIN.t"}, "t differs by 5 from MAIN.t"),
        ({"condition": "frozen", "limit": 60}, "t the same for 60 s"),
        ({"condition": "missing", "limit": 15}, "t missing for 15 s"),
        ({"condition": "word", "words": ["LB", "RB"]}, "t says LB or RB"),
        ({"condition": "below_others", "limit": 50, "least": 2, "deadband": 10}, "t < 50 % of the others, these > 2, back at 60"),
        ({"condition": "above_others", "limit": 15, "deadband": 5}, "t > lowest other + 15, back at 10"),
    ],
)
def test_a_condition_is_said_in_short_words(more, expected):
    """What sets it, where it ends, how long it must last."""
    assert expected == condition_text(Rule(name="r", point="t", **more))


def test_every_shipped_rule_says_its_basis_in_chinese(shown):
    """The screen has it, and no sentence of English is left on it."""
    for rule in (rule for rule in shown if rule["origin"] == "shipped"):
        screen = "".join("\n".join(screens._show_screen(rule, "zh")).split())
        assert "".join(rule["basis_zh"].split()) in screen
        assert not {" of ", " the ", " while ", "back at"} & {word for word in (" of ", " the ", " while ", "back at") if word in rule["condition_text_zh"]}


def test_a_condition_is_said_in_chinese_too():
    """Limit, where it ends, how long, and what must hold beside it."""
    term = Term(point="ups.status", condition="word", word="OB", device_class="ups")
    rule = Rule(name="r", point="t", condition="rise", limit=10, deadband=4, on_delay_s=30, reference="@ambient", window_s=600, when=[term], hold="any")
    assert "t 在 600 秒内上升 10（扣除 @ambient），恢复值 6，30 秒，且 ups ups.status 含 OB" == condition_text(rule, "zh")
    assert "ups ups.status 含 OB（任一成立即保持）" == beside_text(rule, "zh")


def test_what_must_hold_beside_is_said_too():
    """Another device's point, and the last known value of one that is lost."""
    when = [Term(point="ups.status", condition="word", word="OB", device_class="ups"), Term(point="x", condition="high", limit=2, last=True)]
    rule = Rule(name="r", point="t", condition="low", limit=20, deadband=10, on_delay_s=5, hold="any", when=when)
    assert "ups ups.status says OB and x > 2 (last known) (each keeps it)" == beside_text(rule)
    assert "t < 20, back at 30, 5 s, & ups ups.status says OB, & x > 2 (last known)" == condition_text(rule)
    assert ("t < 20", "30", "t < 20, 5 s") == (set_text(rule), clear_text(rule), short_text(rule))


def test_a_rule_that_lacks_the_figures_of_the_connection_says_which():
    """Not that there is no such rule."""
    config = Config(gateway=CONFIG.gateway)
    with pytest.raises(EdgegwError, match="does not say meter and contracted_kw"):
        screens._find(config, "demand-high")
    with pytest.raises(EdgegwError, match='no rule "demand-hihg"; did you mean'):
        screens._find(CONFIG, "demand-hihg")


def test_rules_of_the_connection_are_listed_with_the_figures_of_the_station():
    """90 % of 1234.5 kW in kW, of the device that the configuration names."""
    rule = next(rule for rule in with_shipped([], shipped=True, supply=CONFIG.supply) if rule.name == "demand-high")
    assert ("active_power > 1111.05, back at 1049.325, 60 s", ["MAIN-METER-00001"]) == (condition_text(rule), rule.devices)
