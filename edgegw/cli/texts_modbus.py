"""The words of `edgegw decode modbus`, each in English and Chinese under a fixed id."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "title.request": ("Request: {}", "请求：{}"),
    "title.reply": ("Answer: {}", "应答：{}"),
    "valid": ("valid", "有效"),
    "refused": ("REFUSED, {}", "不接受，{}"),
    "profile": ("Profile {}: {}", "型号 {}：{}"),
    "unproven": ("unproven: no captured exchange has shown this profile yet", "未验证：该型号尚无实测报文"),
    "transaction": ("transaction {}", "事务标识 {}"),
    "protocol.0": ("protocol 0, Modbus", "协议标识 0，即 Modbus"),
    "length.bytes": ("{} bytes follow", "后续 {} 字节"),
    "unit.id": ("unit {}", "从站 {}"),
    "function.id": ("function {}, {}", "功能码 {}，{}"),
    "function.1": ("read coils", "读线圈"),
    "function.2": ("read discrete inputs", "读离散输入"),
    "function.3": ("read holding registers", "读保持寄存器"),
    "function.4": ("read input registers", "读输入寄存器"),
    "function.5": ("write one coil", "写单个线圈"),
    "function.6": ("write one register", "写单个寄存器"),
    "function.15": ("write coils", "写多个线圈"),
    "function.16": ("write registers", "写多个寄存器"),
    "function.7": ("read exception status", "读异常状态"),
    "function.8": ("diagnostics", "诊断"),
    "function.11": ("read event counter", "读事件计数"),
    "function.17": ("read who the device is", "读设备标识"),
    "function.20": ("read file", "读文件记录"),
    "function.21": ("write file", "写文件记录"),
    "function.22": ("change bits of a register", "屏蔽写寄存器"),
    "function.23": ("read and write registers", "读写多个寄存器"),
    "function.24": ("read a queue", "读 FIFO 队列"),
    "function.43": ("read device identification", "读设备识别码"),
    "function.other": ("not one that edgegw asks for", "不是 edgegw 使用的功能"),
    "address": ("first address {} ({}H)", "起始地址 {}（{}H）"),
    "quantity": ("{} of them", "数量 {}"),
    "written": ("value {}", "写入值 {}"),
    "mask": ("bits that stay {}", "与掩码 {}"),
    "crc.right": ("CRC, right", "CRC 正确"),
    "crc.wrong": ("CRC, wrong: computed {}", "CRC 错误：应为 {}"),
    "data": ("data", "数据"),
    "rest": ("{} registers that no point of the profile reads", "{} 个寄存器没有对应测点"),
    "nothing": ("no point of the profile lies in this answer", "应答中没有该型号的测点"),
    "repeats.request": ("repeats the request: the write was accepted", "重复请求内容：写入已被接受"),
    "bit": ("bit {}: {}", "第 {} 位：{}"),
    "bit.unknown": ("not named in the profile", "型号中未说明"),
    # -- why something is refused
    "request_short": ("the request has only {} bytes", "请求只有 {} 字节"),
    "request_crc": ("the request's CRC is wrong: sent {}, computed {}", "请求的 CRC 错误：报文为 {}，应为 {}"),
    "request_protocol": ("the request's protocol is {}, not 0000", "请求的协议标识为 {}，不是 0000"),
    "request_length": ("the request says that {} bytes follow, but {} do", "请求声明后续 {} 字节，实为 {}"),
    "request_function": ("function {} is neither a read nor a write", "功能码 {} 不是读或写"),
    "request_form": ("the request asks for nothing, for too much, or is cut", "请求数量为零、过大，或帧不完整"),
    "short": ("{} bytes are no answer", "{} 字节不构成应答"),
    "crc": ("wrong CRC: sent {}, computed {}", "CRC 错误：报文为 {}，应为 {}"),
    "protocol": ("protocol {} instead of 0000: no Modbus", "协议标识为 {} 而非 0000：不是 Modbus"),
    "length": ("the header says that {} bytes follow, but {} do", "报文头声明后续 {} 字节，实为 {}"),
    "transaction_": ("transaction {} answers another request, {} was asked", "事务标识 {} 属于其他请求，所问为 {}"),
    "unit": ("unit {} answers, unit {} was asked", "应答来自从站 {}，所问为从站 {}"),
    "function": ("function {} answers, function {} was asked", "应答的功能码为 {}，所问为 {}"),
    "bytes": ("{} bytes of data, {} would answer this request", "数据 {} 字节，本请求应为 {} 字节"),
    "cut": ("{} bytes of {}: cut short, or followed by others", "共 {} 字节，应为 {}：不完整或有多余字节"),
    "form": ("no form that Modbus knows", "不符合 Modbus 格式"),
    "repeats": ("the answer does not repeat what was written", "应答与写入内容不一致"),
    "exception": ("exception {}: {}", "异常 {}：{}"),
}


def say(language: str, text_id: str, *values: object) -> str:
    """A text in the caller's language, English for an unknown language."""
    return TEXTS[text_id][language == "zh"].format(*values)


def say_function(language: str, function: int) -> str:
    named = f"function.{function & 0x7F}"
    return say(language, named if named in TEXTS else "function.other")
