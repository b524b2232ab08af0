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
    "status.cloud": ("Cloud", "平台"),
    "status.buffer": ("Buffer", "缓存"),
    "status.line": ("Line", "线路"),
    "status.clock_doubt": ("clock not synchronised", "时钟未同步"),
    "status.cloud_away": ("cloud away", "平台未连接"),
    "status.good": ("all good", "一切正常"),
    "status.alarms": ("{} alarms", "{} 条告警"),
    "status.alarm": ("1 alarm", "1 条告警"),
    "status.devices": ("{} devices offline", "{} 台设备离线"),
    "status.device": ("1 device offline", "1 台设备离线"),
    "status.offset": (", error {} ms", "，误差 {} 毫秒"),
    "status.receipt": (", last receipt {} ago", "，{}前收到确认"),
    "status.no_receipt": (", no receipt yet", "，尚未收到确认"),
    "status.in_flight": (", {} under way", "，{} 批在途"),
    "status.today": (", {} MB today", "，今日 {} MB"),
    "status.cert": ("Cert", "证书"),
    "status.cert_ends": ("{} ends on {} ({} d left)", "{} 将于 {} 到期（剩 {} 天）"),
    "status.no_uplink": ("no uplink is configured", "未配置上传平台"),
    "status.connected": ("connected", "已连接"),
    "status.not_connected": ("not connected", "未连接"),
    "status.waiting": ("{} values waiting", "{} 个值待上传"),
    "status.oldest": (", oldest {}", "，最早 {}前"),
    "status.file": ("; file {} MiB", "；文件 {} MiB"),
    "status.profiles": ("Model", "型号"),
    "status.unproven": ("unproven profile: {}", "型号未验证：{}"),
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
    "head.address": ("ADDR", "地址"),
    "read.unit": ("{} unit {}", "{} 从站 {}"),
    "read.address": ("{} address {}", "{} 表号 {}"),
    "read.unproven": ("unproven profile: no captured exchange has shown it yet", "型号未验证：尚无实测报文"),
    "read.unknown_bit": ("bit {}, which the profile does not name", "第 {} 位，型号中未说明"),
    "read.serial_number": ("serial number {}", "序列号 {}"),
    "read.model": ("model {}", "型号 {}"),
    "read.firmware": ("firmware {}", "固件 {}"),
    "read.wrong": ("WRONG DEVICE: serial number {}", "设备不符：序列号 {}"),
    "read.asleep": ("asleep", "休眠中"),
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
    # -- bus
    "head.where": ("WHERE", "位置"),
    "head.load": ("LOAD", "负载"),
    "head.hint": ("HINT", "提示"),
    "head.unit_id": ("UNIT", "从站"),
    "head.code": ("CODE", "设备"),
    "head.asked": ("REQ", "请求"),
    "head.ok": ("OK%", "成功%"),
    "head.timed_out": ("TMO", "超时"),
    "head.crc": ("CRC", "坏帧"),
    "head.exceptions": ("EXC", "异常"),
    "head.p50": ("P50", "P50"),
    "head.last": ("LAST OK", "最近应答"),
    "count.late": ("late", "迟到"),
    "count.doubled": ("doubled", "重复"),
    "count.echo": ("echo", "回波"),
    "count.foreign": ("foreign", "外来帧"),
    "count.noise_bytes": ("noise bytes", "噪声字节"),
    "count.resyncs": ("resyncs", "重新同步"),
    "count.withheld": ("withheld", "拦截未发"),
    "count.missed_slots": ("missed polls", "错过的轮询"),
    "stats.load": ("load {} %", "负载 {} %"),
    "stats.lateness": ("late p99 {}", "延迟 p99 {}"),
    "stats.foreign": ("foreign frames {}", "外来帧 {}"),
    "stats.energy": ("energy for the quarter hour: {} read, {} late, {} after its time at most", "整刻电能：读取 {} 次，迟到 {} 次，最多晚 {}"),
    "stats.refused": ("refuses {}", "拒绝 {}"),
    "stats.idle_noise": ("{} bytes of noise between the questions", "请求之间的噪声 {} 字节"),
    "hint.H1": ("silent, others fine: power, address, A/B swapped at this device", "无应答而其他设备正常：检查该设备电源、地址、A/B 是否接反"),
    "hint.H2": ("broken frames at one device: stub length, earth, second master", "仅一台设备坏帧：检查支线长度、接地、是否有第二主站"),
    "hint.H3": (
        "nobody answers: speed and parity, A/B, supply of the line, serial server",
        "全部无应答：检查波特率与校验、A/B、线路供电、串口服务器",
    ),
    "hint.H4": ("foreign frames: a second master polls here; there may be only one", "外来帧：总线上有第二主站，只允许一个主站"),
    "hint.H5": ("doubled answers: two devices with one address", "重复应答：两台设备地址相同"),
    "hint.H6": ("refuses questions: does the profile fit product and firmware?", "拒绝请求：核对型号文件与产品、固件版本"),
    "hint.H7": ("answers too late: raise answer_timeout_ms of the bus", "应答过迟：加大总线的 answer_timeout_ms"),
    "hint.H8": (
        "broken frames at several devices: termination, shield, cable, speed",
        "多台设备坏帧：检查终端电阻、屏蔽、电缆、波特率",
    ),
    "hint.H9": ("more polls than the line can carry: longer periods, or a second line", "轮询超出线路能力：延长采集周期或增加线路"),
    "hint.H10": ("the line cannot be opened: adapter, path, network", "线路无法打开：检查转换器、路径、网络"),
    "hint.H11": ("noise on the line: bias resistors, termination, earth", "线路有噪声：检查偏置电阻、终端电阻、接地"),
    "hint.H12": ("some answers missing: loose contact, or a device that is often busy", "部分应答缺失：接触不良，或设备经常繁忙"),
    "monitor.title": ("{}  {}  times in ms since the frame before; Ctrl-C ends it", "{}  {}  与上一帧的间隔（毫秒）；Ctrl-C 结束"),
    "monitor.lost": ("... {} frames came too fast to be shown", "... {} 帧来得太快，未显示"),
    "monitor.end": ("{} frames, {} not shown", "{} 帧，{} 帧未显示"),
    "monitor.frame": ("unit {} fn {}", "从站 {} 功能 {}"),
    "monitor.address": ("address {} count {}", "地址 {} 数量 {}"),
    "monitor.exception": ("exception {} {}", "异常 {} {}"),
    "monitor.bytes": ("{} bytes", "{} 字节"),
    "monitor.unit": ("unit {}", "从站 {}"),
    "monitor.ups": ("the UPS", "UPS"),
    "monitor.reply": ("reply", "应答"),
    "monitor.refusal": ("refuses, error {}H", "异常应答，错误字 {}H"),
    "line.opened": ("line opened", "线路已打开"),
    "line.closed": ("LINE CLOSED", "线路已关闭"),
    "line.not_opened": ("LINE CANNOT BE OPENED", "线路无法打开"),
    "frame.timeout": ("no answer", "无应答"),
    "frame.crc": ("WRONG CHECK SUM", "校验错误"),
    "frame.short": ("CUT SHORT", "帧不完整"),
    "frame.late": ("LATE", "迟到"),
    "frame.doubled": ("DOUBLED", "重复"),
    "frame.echo": ("echo", "回波"),
    "frame.foreign": ("FOREIGN", "外来帧"),
    "frame.noise": ("noise", "噪声"),
    "exception.1": ("illegal function", "不支持的功能码"),
    "exception.2": ("illegal data address", "地址不存在"),
    "exception.3": ("illegal data value", "数据值无效"),
    "exception.4": ("device failure", "设备故障"),
    "exception.5": ("acknowledged, later", "已接受，稍后完成"),
    "exception.6": ("busy", "设备忙"),
    "exception.10": ("gateway path unavailable", "网关路径不可用"),
    "exception.11": ("gateway target does not respond", "网关目标无响应"),
    # -- config check
    "head.late_most": ("LATE AT MOST", "最长延迟"),
    "head.uplink": ("UPLINK", "上传平台"),
    "head.values_per_s": ("VALUES/S", "数据/秒"),
    "head.mb_calm": ("MB/MONTH CALM", "MB/月 空闲"),
    "head.mb_busy": ("MB/MONTH BUSY", "MB/月 繁忙"),
    "head.mb_quota": ("QUOTA", "限额"),
    "check.summary": ("{}, {}. Running configuration unchanged.", "{}，{}。运行中的配置未改变。"),
    "check.errors": ("{} errors", "{} 个错误"),
    "check.error": ("1 error", "1 个错误"),
    "check.warnings": ("{} warnings", "{} 个警告"),
    "check.warning": ("1 warning", "1 个警告"),
    "check.good": ("{}: no mistakes. {} devices on {} buses, {} rules, {} uplinks.", "{}：没有错误。{} 台设备，{} 条总线，{} 条规则，{} 个上传平台。"),
    # -- profiles
    "head.function": ("FN", "功能码"),
    "head.type": ("TYPE", "类型"),
    "head.scale": ("SCALE", "倍率"),
    "head.group": ("GROUP", "采集组"),
    "head.title": ("TITLE", "名称"),
    "profile.unproven": ("unproven: no captured exchange has shown this profile yet", "未验证：该型号尚无实测报文"),
    "profile.source": ("Source: {}", "来源：{}"),
    "profile.note": ("Note: {}", "注意：{}"),
    "profile.mistakes": ("{} mistakes", "{} 处错误"),
    "profile.right": ("{}: no mistakes", "{}：没有错误"),
    "profile.refused": ("{} points refused: {}", "{} 个测点被拒绝：{}"),
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


def duration_ms(language: str, milliseconds: float) -> str:
    """`40 ms`, `1.3 s`, `2m10s`."""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} {'毫秒' if language == 'zh' else 'ms'}"
    return f"{milliseconds / 1000:.1f} {'秒' if language == 'zh' else 's'}" if milliseconds < 60_000 else duration(language, milliseconds / 1000)


def age(seconds: float | None) -> str:
    """Age of a value in its narrow column: `0.4s`, `12s`, `7m12s`."""
    if seconds is None:
        return "-"
    return f"{max(seconds, 0.0):.1f}s" if seconds < 10 else duration("en", seconds).replace(" ", "")
