"""The words of `edgegw buffer` and `edgegw capacity` beside those that every screen has, each in English and Chinese under a fixed id."""

from __future__ import annotations

from edgegw.cli.texts import TEXTS as COMMON

TEXTS: dict[str, tuple[str, str]] = {
    "absent": ("The service is not running: reading {} directly", "服务未运行：直接读取 {}"),
    "file": ("File", "文件"),
    "used": ("{} of {} used ({} %)", "已用 {}，上限 {}（{} %）"),
    "disk": ("Disk", "磁盘"),
    "free": ("{} of {} free", "剩余 {}，共 {}"),
    "writer": ("Writer", "写入"),
    "writing": ("writing; {} readings wait in memory, {} not sealed yet", "正常写入；内存中 {} 条，未封块 {} 条"),
    "not_writing": ("NOT WRITING: {}; {} readings wait in memory", "无法写入：{}；内存中 {} 条"),
    "dropped": ("Lost", "丢失"),
    "dropped.count": ("{} readings since the start, each told in a loss event", "本次启动以来 {} 条，均有丢失记录"),
    "head.stream": ("DATA", "数据"),
    "head.blocks": ("BLOCKS", "块"),
    "head.values": ("VALUES", "值"),
    "head.from": ("FROM", "从"),
    "head.to": ("TO", "到"),
    "head.waiting": ("WAITING FOR {}", "待 {} 确认"),
    "head.time": ("TIME", "时间"),
    "stream.event": ("events", "事件"),
    "stream.energy": ("energy", "电能"),
    "stream.telemetry": ("telemetry", "遥测"),
    "stream.record": ("records", "统计记录"),
    "stream.thinned": ("thinned", "抽稀数据"),
    "thinned": ("thinned", "抽稀"),
    "nothing": ("Nothing is stored for that.", "没有相应的数据。"),
    "starts": ("{} starts of the gateway", "网关启动 {} 次"),
    "verify.good": (
        "{} blocks with {} values and {} events: all readable, every sequence accounted for.",
        "{} 个块共 {} 个值、{} 条事件：全部可读，序号完整。",
    ),
    "verify.bad": ("{} blocks with {} values and {} events: {} gaps, {} unreadable.", "{} 个块共 {} 个值、{} 条事件：缺口 {} 处，不可读 {} 处。"),
    "verify.lost": ("Told lost ({}): {} sequences", "已声明丢失（{}）：{} 个序号"),
    "verify.gap": ("GAP      {}  stream {}  {}..{}", "缺口     {}  流 {}  {}..{}"),
    "verify.damaged": ("DAMAGED  {}  stream {}  {}..{}: {}", "损坏     {}  流 {}  {}..{}：{}"),
    "export.progress": ("{} values", "{} 个值"),
    "export.done": ("{} values written to {}", "已导出 {} 个值到 {}"),
    "export.damaged": ("{} blocks could not be read: edgegw buffer verify", "{} 个块不可读：edgegw buffer verify"),
    "parcel.done": ("{} values and {} events sealed into {} ({}).", "{} 个值、{} 条事件已加密写入 {}（{}）。"),
    "parcel.next": (
        "At the cloud: edgegw cloud receive --file FILE; then here: edgegw buffer import-receipt FILE.receipt",
        "平台侧：edgegw cloud receive --file 文件；随后在本机：edgegw buffer import-receipt 文件.receipt",
    ),
    "parcel.taken": ("{} receipts taken: {} sequences are confirmed.", "已接收回执 {} 份：确认 {} 个序号。"),
    "recover.progress": ("{}: {} blocks, {} events, {} readings", "{}：{} 个块，{} 条事件，{} 条读数"),
    "recover.done": ("{}: {} readings and {} events read.", "{}：读出 {} 条读数、{} 条事件。"),
    "recover.stored": ("New in the store, to be delivered: {} readings, {} events.", "新存入待上传：{} 条读数、{} 条事件。"),
    "recover.lost": ("Unreadable rows: {}. Sequences declared lost: {}.", "不可读的行：{}。已声明丢失的序号：{}。"),
    "recover.kept": ("The file stays where it is; remove it when nothing more is wanted of it.", "该文件保留原处；不再需要时可自行删除。"),
    "capacity.rate": ("Stored", "存储"),
    "capacity.rate.is": ("{} values/s, {} bytes a value, {} MB a day (over the last {})", "每秒 {} 个值，每值 {} 字节，每天 {} MB（最近 {}）"),
    "capacity.sent": ("Sent", "上传"),
    "capacity.sent.is": ("about {} MB a month at this rate", "按此速率每月约 {} MB"),
    "capacity.room": ("Room", "余量"),
    "capacity.room.is": ("{} h ({} days) without a cloud before anything is thinned", "断网可存 {} 小时（{} 天），之后才抽稀"),
    "capacity.room.unknown": ("{}; nothing was stored yet that a rate could be taken from", "{}；尚无数据，无法估算速率"),
}


def say(language: str, text_id: str, *values: object) -> str:
    """A text in the caller's language, English for an unknown language."""
    return (TEXTS.get(text_id) or COMMON[text_id])[language == "zh"].format(*values)


def size(count: float) -> str:
    """Bytes for a person: `412 KiB`, `1.2 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("the last unit takes everything")
