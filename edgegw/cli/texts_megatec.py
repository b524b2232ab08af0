"""The words of `edgegw decode megatec`, each in English and Chinese under a fixed id."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "valid": ("{} ({}): valid", "{}（{}）：有效"),
    "refused": ("{} ({}): REFUSED", "{}（{}）：不接受"),
    "sent": ("received: {}", "收到：{}"),
    "none": ("not told", "未提供"),
    "estimated": ("estimated", "估算"),
    "yes": ("yes", "是"),
    "no": ("no", "否"),
    "why.empty_reply": (
        "Nothing was received: UPS off, cable, or the wrong speed (2400 8N1).",
        "没有收到数据：检查 UPS 是否开机、通信线、波特率（2400 8N1）。",
    ),
    "why.short_reply": (
        "The reply is cut short: {}. The first one after a pause often is; ask again.",
        "应答不完整：{}。停顿后的第一个应答常常如此，请再问一次。",
    ),
    "why.not_supported": (
        "The UPS does not know this command: {}. Another dialect may fit.",
        "UPS 不支持该命令：{}。可换一种协议类型再试。",
    ),
    "why.foreign_reply": (
        "This is no answer to this command: {}.",
        "这不是该命令的应答：{}。",
    ),
    "why.crc": ("The check is wrong: {}. Noise, or not an inverter-charger.", "校验错误：{}。可能是线路干扰，或不是逆变一体机。"),
    "why.unknown_command": ("{}. `decode megatec` reads queries, no control commands.", "{}。此处只解析查询命令，不解析控制命令。"),
    "why.query_first": (
        "That is a reply. The query comes before it: edgegw decode megatec Q1 '(...'",
        "这是应答。查询命令须写在前面：edgegw decode megatec Q1 '(...'",
    ),
    "why.other": ("Try the command {}.", "可试命令 {}。"),
    "name.battery.charge.estimated": ("battery charge, estimated from its voltage", "由电压估算的电池电量"),
    "name.battery.voltage.total": ("voltage of the whole battery", "电池组总电压"),
    "name.battery.voltage.is_per_cell": ("volts per 2 V cell, not of the battery", "电压为 2 V 单体值"),
    "name.mode": ("mode", "工作模式"),
    "name.fault": ("fault number", "故障代码"),
    "name.warnings": ("bits set, 1 leftmost", "置位的告警位（最左为 1）"),
    "name.unknown": ("of them unknown", "其中含义未知"),
    "name.protocol": ("protocol", "协议"),
    "name.status_bits": ("status bits", "状态位"),
    "name.load_on": ("output on", "负载已供电"),
    "name.charging": ("charging", "充电中"),
    "name.bypass_or_eco_or_avr": ("bypass, ECO or regulation", "旁路、ECO 或稳压"),
    "name.crc_request_hex": ("check of the command", "命令校验码"),
    "name.crc_reply_hex": ("check of the reply", "应答校验码"),
}


def say(language: str, text_id: str, *values: object) -> str:
    """A text in the caller's language."""
    return TEXTS[text_id][language == "zh"].format(*values)
