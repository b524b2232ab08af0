"""The words of notices, each in English and Chinese under a fixed id."""

from __future__ import annotations

from collections.abc import Iterable

from edgegw.rules.levels import current_name, name_zh

WORDS: dict[str, tuple[str, str]] = {
    "why.raised": ("new", "新告警"),
    "why.level": ("now more severe", "告警升级"),
    "why.shown": ("shown again, still active", "恢复显示，告警仍在"),
    "why.again": ("back before its reset", "复位前再次告警"),
    "why.cleared": ("ended", "已恢复"),
    "why.summary": ("{} alarms", "{} 条告警"),
    "why.report": ("report", "报告"),
    "why.test": ("TEST", "测试"),
    "also.ended": ("ended", "已恢复"),
    "also.came": ("came and has ended", "发生后已恢复"),
    "also.escalated": ("nobody has acknowledged it", "无人确认"),
    "label.alarm": ("Alarm", "告警"),
    "label.station": ("Station", "站点"),
    "label.bus": ("Bus", "总线"),
    "label.device": ("Device", "设备"),
    "label.place": ("Place", "位置"),
    "label.point": ("Point", "测点"),
    "label.value": ("Value", "数值"),
    "label.level": ("Level", "级别"),
    "label.began": ("Began", "开始"),
    "label.raised": ("Raised", "触发"),
    "label.ended": ("Ended", "恢复"),
    "label.lasted": ("Lasted", "历时"),
    "label.acknowledged": ("Acked", "确认"),
    "label.due": ("Due", "时限"),
    "label.below": ("Below it", "下级"),
    "label.marks": ("Marks", "标记"),
    "label.cause": ("Cause", "原因"),
    "label.step": ("First step", "首要措施"),
    "label.rule": ("Rule", "规则"),
    "label.command": ("On site", "现场命令"),
    "number": ("#{}, level {}, {}", "#{}，级别{}，{}"),
    "limit": ("{} (limit {})", "{}（限值 {}）"),
    "by": ("{} by {}", "{} {}"),
    "not_yet": ("nobody yet", "尚未确认"),
    "below": ("{} alarms are explained by this one", "{} 条告警由此引起"),
    "mark.first_out": ("the first of those that came together", "同组首出告警"),
    "mark.chattering": ("comes and goes; told once until it is quiet", "反复抖动，平静前只通知一次"),
    "short.chattering": ("comes and goes", "反复抖动"),
    "mark.latched": ("stays until it is reset", "需人工复位"),
    "mark.escalated": ("nobody has acknowledged it for {} min", "{} 分钟内无人确认"),
    "mark.safety": ("safety", "安全"),
    "due.plan": ("plan by {}", "{} 前出方案"),
    "due.depart": ("departure by {}", "{} 前出发"),
    "due.arrive": ("arrival by {}", "{} 前到场"),
    "due.diagnosis": ("diagnosis by {}", "{} 前完成诊断"),
    "due.other": ("{} by {}", "{} {}"),
    "clock": ("{} (the clock was not set)", "{}（时钟未校准）"),
    "summary.text": ("{} alarms in a short time are told together:", "短时间内 {} 条告警合并通知："),
    "summary.more": ("... and {} more: edgegw alarms", "……另有 {} 条：edgegw alarms"),
    "summary.worst": ("worst", "最严重"),
    "report.attached": ("Attached: the readings of {} points from {} to {}.", "附件：{} 个测点 {} 至 {} 的读数。"),
    "report.left_out": ("{} points did not fit: edgegw alarms show ID --report --json", "另有 {} 个测点未列出：edgegw alarms show ID --report --json"),
    "report.error": ("The store could not be read: {}", "存储无法读取：{}"),
    "report.bus": ("Bus {}: {}, busy {} %", "总线 {}：{}，占用 {} %"),
    "report.up": ("up", "正常"),
    "report.down": ("DOWN", "中断"),
    "report.unit": ("The device: asked {} times, {} answers, {} time-outs, {} wrong checks", "本设备：询问 {} 次，应答 {}，超时 {}，校验错 {}"),
    "report.uplink": ("Cloud {}: {}, last receipt: {}", "平台 {}：{}，上次回执：{}"),
    "report.age": ("{} s ago", "{} 秒前"),
    "report.connected": ("connected", "已连接"),
    "report.away": ("NOT CONNECTED", "未连接"),
    "table.time": ("time", "时间"),
    "table.from_raise": ("from_raise_s", "距触发_秒"),
    "table.device": ("device", "设备"),
    "table.point": ("point", "测点"),
    "table.value": ("value", "数值"),
    "table.unit": ("unit", "单位"),
    "table.quality": ("quality", "质量"),
    "test.text": ("This is a test of the channel {}. There is nothing to do.", "这是渠道 {} 的测试，无需处理。"),
    "test.short": ("TEST {} channel {} {}: nothing to do", "测试 {} 渠道 {} {}：无需处理"),
}


_BETWEEN = {",": (", ", "，"), ";": ("; ", "；")}


def joined(language: str, mark: str, parts: Iterable[str]) -> str:
    """Parts of a line with the language's own comma or semicolon between them."""
    return _BETWEEN[mark][language == "zh"].join(part for part in parts if part)


def say(language: str, text_id: str, *values: object) -> str:
    """A text in the recipient's language, English for an unknown one."""
    return WORDS[text_id][language == "zh"].format(*values)


def level_word(language: str, level: str) -> str:
    """A level as people call it now."""
    return (name_zh(level) if language == "zh" else "") or current_name(level)
