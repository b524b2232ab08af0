"""The words of `edgegw alarms test` and `edgegw alarms notifications`, each in English and Chinese under a fixed id."""

from __future__ import annotations

from edgegw.cli.texts_alarms import say as say_alarm

TEXTS: dict[str, tuple[str, str]] = {
    "head.channel": ("CHANNEL", "渠道"),
    "head.recipient": ("RECIPIENT", "接收人"),
    "head.result": ("RESULT", "结果"),
    "tried.once": ("tried once", "已尝试 1 次"),
    "head.took": ("TOOK", "用时"),
    "head.said": ("WHAT IT SAID", "应答"),
    "head.why": ("WHY", "原因"),
    "outcome.delivered": ("sent", "已发送"),
    "outcome.failed": ("FAILED", "失败"),
    "outcome.nobody": ("nobody", "无接收人"),
    "outcome.given_up": ("given up", "已放弃"),
    "outcome.refused": ("refused", "被拒绝"),
    "outcome.dropped": ("dropped", "已丢弃"),
    "outcome.joined": ("joined", "已合并"),
    "outcome.needless": ("not needed", "无需发送"),
    "outcome.waiting": ("waits", "等待"),
    "outcome.under_way": ("sending", "发送中"),
    "why.raised": ("raised", "触发"),
    "why.level": ("worse", "升级"),
    "why.shown": ("shown", "显示"),
    "why.again": ("again", "再次"),
    "why.cleared": ("ended", "恢复"),
    "why.summary": ("summary", "汇总"),
    "why.report": ("report", "报告"),
    "why.test": ("test", "测试"),
    "nobody": ("no [[recipient]] has an address for it", "没有 [[recipient]] 配置该渠道的地址"),
    "and": (", ", "，"),
    "attempts": ("tried {} times", "已尝试 {} 次"),
    "escalated": ("nobody acknowledged for {} min", "{} 分钟无人确认"),
    "later": ("not before {}", "{} 之后发送"),
    "none": ("Nobody was told anything in that time, and nothing waits.", "该时段内没有通知，也没有等待发送的通知。"),
    "waiting": ("Waiting to be sent: {}", "等待发送：{}"),
    "show.told": ("Notices", "通知"),
    "show.nobody": ("nobody yet", "尚未通知"),
}


def say(language: str, text_id: str, *values: object) -> str:
    """A text in the caller's language, English for an unknown language."""
    return TEXTS[text_id][language == "zh"].format(*values) if text_id in TEXTS else say_alarm(language, text_id, *values)


def say_word(language: str, group: str, word: str) -> str:
    """A word that the daemon sent; one that this version does not know is shown as it came."""
    return say(language, f"{group}.{word}") if f"{group}.{word}" in TEXTS else word
