"""The words of the screens, each in English and Chinese under a fixed id (a test knows if one is missing or unused)."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "word.ok": ("OK", "正常"),
    "word.warn": ("WARN", "警告"),
    "word.fail": ("FAIL", "故障"),
    "word.none": ("-", "-"),
    "next": ("Next: {}", "下一步: {}"),
    "exit": ("(exit {})", "(退出码 {})"),
    "direct": ("The service is not used: opening {} directly", "未使用服务：直接打开 {}"),
    "direct.absent": ("The service is not running: opening {} directly", "服务未运行：直接打开 {}"),
    # -- status
    "status.up": ("up {}", "已运行 {}"),
    "status.clock": ("Clock", "时钟"),
    "status.cloud": ("Cloud", "云平台"),
    "status.buffer": ("Buffer", "缓存"),
    "status.line": ("Line", "线路"),
    "status.clock_doubt": ("clock not synchronised", "时钟未同步"),
    "status.cloud_away": ("cloud away", "云平台未连接"),
    "status.good": ("all good", "一切正常"),
    "status.alarms": ("{} alarms", "{} 条告警"),
    "status.alarm": ("1 alarm", "1 条告警"),
    "status.devices": ("{} devices offline", "{} 台设备离线"),
    "status.device": ("1 device offline", "1 台设备离线"),
    "status.offset": (", error {} ms", "，误差 {} 毫秒"),
    "status.receipt": (", last receipt {} ago", "，{}前收到确认"),
    "status.no_receipt": (", no receipt yet", "，尚未收到确认"),
    "status.in_flight": (", {} under way", "，{} 批在途"),
    "status.no_uplink": ("no uplink is configured", "未配置上传平台"),
    "status.connected": ("connected", "已连接"),
    "status.not_connected": ("not connected", "未连接"),
    "status.waiting": ("{} values waiting", "{} 个值待上传"),
    "status.oldest": (", oldest {}", "，最早 {}前"),
    "status.file": ("; file {} MiB", "；文件 {} MiB"),
    "status.no_alarm": ("No open alarm.", "无告警。"),
    "clock.synchronised": ("synchronised", "已同步"),
    "clock.corrected": ("corrected", "已校正"),
    "clock.held": ("not synchronised, kept by this machine", "未同步，由本机保持"),
    "clock.unset": ("never set", "从未校时"),
    "level.critical": ("critical", "重大"),
    "level.major": ("major", "较严重"),
    "level.minor": ("minor", "轻微"),
    "level.notice": ("notice", "提示"),
    "head.bus": ("BUS", "总线"),
    "head.line": ("LINE", "线路"),
    "head.devices": ("DEV", "设备"),
    "head.online": ("ON", "在线"),
    "head.offline": ("OFF", "离线"),
    "head.requests": ("REQ/s", "请求/秒"),
    "head.errors": ("ERR%", "错误%"),
    "head.p95": ("P95", "P95"),
    "head.alarm": ("ALARM", "编号"),
    "head.for": ("FOR", "持续"),
    "head.level": ("LEVEL", "级别"),
    "head.device": ("DEVICE", "设备"),
    "head.what": ("WHAT", "内容"),
    "alarm.limit": (" (limit {})", "（限值 {}）"),
    # -- read
    "head.point": ("POINT", "测点"),
    "head.value": ("VALUE", "值"),
    "head.unit": ("UNIT", "单位"),
    "head.quality": ("QUALITY", "质量"),
    "head.age": ("AGE", "距今"),
    "head.raw": ("RAW", "原始值"),
    "read.unit": ("{} unit {}", "{} 从站 {}"),
    "read.cost": ("{}, {} ms", "{}，{} 毫秒"),
    "read.request": ("1 request", "1 次请求"),
    "read.requests": ("{} requests", "{} 次请求"),
    "quality.good": ("good", "正常"),
    "quality.suspect": ("suspect", "可疑"),
    "quality.estimated": ("estimated", "估算"),
    "quality.late": ("late", "迟到"),
    "quality.bad": ("bad", "无效"),
    "quality.offline": ("offline", "离线"),
    "quality.refused": ("refused", "被拒绝"),
    "quality.maintenance": ("maintenance", "检修中"),
    "quality.not fitted": ("not fitted", "未安装"),
    "quality.stale": ("stale", "数据过期"),
    "quality.not read yet": ("not read yet", "尚未读取"),
    # -- config check
    "check.summary": ("{}, {}. Running configuration unchanged.", "{}，{}。运行中的配置未改变。"),
    "check.errors": ("{} errors", "{} 个错误"),
    "check.error": ("1 error", "1 个错误"),
    "check.warnings": ("{} warnings", "{} 个警告"),
    "check.warning": ("1 warning", "1 个警告"),
    "check.good": ("{}: no mistakes. {} devices on {} buses, {} rules, {} uplinks.", "{}：没有错误。{} 台设备，{} 条总线，{} 条规则，{} 个上传平台。"),
    # -- explain
    "explain.next": ("Next: {}", "下一步: {}"),
}


def say(language: str, text_id: str, *values: object) -> str:
    """A text in the caller's language, English for an unknown language."""
    return TEXTS[text_id][language == "zh"].format(*values)


def say_word(language: str, group: str, word: str) -> str:
    """A word that the daemon sent; one that this version does not know is shown as it came."""
    return say(language, f"{group}.{word}") if f"{group}.{word}" in TEXTS else word


def count(language: str, one: str, many: str, number: int) -> str:
    return say(language, one) if number == 1 else say(language, many, number)


def duration(language: str, seconds: float | None) -> str:
    """`4 s`, `7m12s`, `2h03m`, `12d04h`: two steps at most."""
    if seconds is None:
        return "-"
    whole = max(int(seconds), 0)
    chinese = language == "zh"
    if whole < 60:
        return f"{whole} 秒" if chinese else f"{whole} s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes < 60:
        return f"{minutes}分{whole % 60}秒" if chinese else f"{minutes}m{whole % 60:02}s"
    if hours < 24:
        return f"{hours}小时{minutes % 60}分" if chinese else f"{hours}h{minutes % 60:02}m"
    return f"{days}天{hours % 24}小时" if chinese else f"{days}d{hours % 24:02}h"


def age(seconds: float | None) -> str:
    """Age of a value in its narrow column: `0.4s`, `12s`, `7m12s`."""
    if seconds is None:
        return "-"
    return f"{max(seconds, 0.0):.1f}s" if seconds < 10 else duration("en", seconds).replace(" ", "")
