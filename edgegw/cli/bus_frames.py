"""What the frames of a bus say, in the words of their protocol: for the screen of `edgegw bus monitor`, and as `words` of its JSON.

modbus      unit, function; address and count, or values, or exception
dlt645      address, control, identifier; values, or error
megatec     command of a question; reply of an answer (text)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgegw.cli.texts import say, say_word
from edgegw.cli.texts_dlt645 import TEXTS as DLT645_TEXTS

# Registers, or values of a block, that a line shows; --hex and --json have all.
_VALUES_SHOWN_MAX = 8
_LINE_KINDS = frozenset({"opened", "closed", "not_opened"})


def is_of_line(frame: dict[str, Any]) -> bool:
    """The line was opened or closed: no frame."""
    return frame["kind"] in _LINE_KINDS


def decode(frame: dict[str, Any], *, tcp: bool) -> dict[str, Any] | None:
    """What a frame says; None for noise and for what is cut or spoiled."""
    data = bytes.fromhex(frame["hex"])
    protocol = frame.get("protocol", "modbus")
    if not data:
        return None
    if protocol.startswith("dlt645"):
        return _dlt645(data, 1997 if protocol.endswith("1997") else 2007) or _modbus(frame, data, tcp=tcp)
    if protocol == "megatec":
        return _megatec(data, question=frame["kind"] in {"question", "echo"})
    return _modbus(frame, data, tcp=tcp) or (None if tcp else _dlt645(data, 2007))


def _modbus(frame: dict[str, Any], data: bytes, *, tcp: bool) -> dict[str, Any] | None:
    from edgegw.drivers.modbus_words import describe, is_request

    asks = frame["kind"] in {"question", "echo"} or (frame["kind"] in {"foreign", "late"} and not tcp and is_request(data))
    words = describe(data, tcp=tcp, question=asks)
    if words is None:
        return None
    return {name: found for name in words.__struct_fields__ if (found := getattr(words, name)) is not None}


def _dlt645(data: bytes, year: int) -> dict[str, Any] | None:
    """The first whole frame in the bytes."""
    from edgegw.drivers.dlt645_explain import explain

    told = next((one for one in explain(data, year) if one.valid), None)
    if told is None:
        return None
    words: dict[str, Any] = {"address": told.frame.address, "control": f"{told.frame.control:02X}", "di": told.di, "year": told.year}
    if told.known is not None:
        words |= {"title": told.known.en, "title_zh": told.known.zh}
    if told.error:
        words["error"] = told.error.hex().upper()
    if told.values:
        words["values"] = [{"name": value.item.name, "value": value.number, "unit": value.item.unit} for value in told.values]
    return words


def _megatec(data: bytes, *, question: bool) -> dict[str, Any] | None:
    text = data.rstrip(b"\r\n\0").decode("ascii", "replace")
    plain = "".join(character if character.isascii() and character.isprintable() else "." for character in text)
    return {"command" if question else "reply": plain} if plain else None


# -- for people


def sentence(event: dict[str, Any], language: str) -> str:
    """One frame, or what happened to the line."""
    if is_of_line(event):
        return "  ".join(part for part in (say_word(language, "line", event["kind"]), event["text"]) if part)
    words = event["words"]
    kind = "" if event["kind"] in {"question", "answer", "exception"} else say_word(language, "frame", event["kind"])
    if words is None:
        size = say(language, "monitor.bytes", len(event["hex"]) // 2) if event["hex"] else _who(event, language)
        return f"{kind}, {size}" if kind else size
    if "control" in words:
        said = _said_dlt645(words, language)
    elif "function" in words:
        said = _said_modbus(words, language)
    else:
        said = iter([words.get("command") or words["reply"]])
    return "  ".join(part for part in (kind, *said) if part)


def _who(event: dict[str, Any], language: str) -> str:
    """Who was asked."""
    if event.get("address"):
        return str(event["address"])
    return say(language, "monitor.ups") if event.get("protocol") == "megatec" else say(language, "monitor.unit", event["unit"])


def _said_modbus(words: dict[str, Any], language: str) -> Iterator[str]:
    yield say(language, "monitor.frame", words["unit"], f"{words['function']:02}")
    if "exception" in words:
        yield say(language, "monitor.exception", words["exception"], say_word(language, "exception", str(words["exception"])))
    elif "address" in words:
        yield say(language, "monitor.address", words["address"], words["count"])
    elif "values" in words:
        values = words["values"]
        width = 2 if words["function"] in (1, 2) else 4
        more = ["..."] if len(values) > _VALUES_SHOWN_MAX else []
        yield " ".join([f"{len(values)}:", *(f"{value:0{width}X}" for value in values[:_VALUES_SHOWN_MAX]), *more])


def _said_dlt645(words: dict[str, Any], language: str) -> Iterator[str]:
    """Address; what is asked or answered; its values in their units."""
    yield words["address"]
    control = int(words["control"], 16)
    function = f"{words['year']}.{control & 0x1F:02X}"
    name = DLT645_TEXTS[function][language == "zh"] if function in DLT645_TEXTS else f"{control & 0x1F:02X}H"
    yield name if not control & 0x80 else say(language, "monitor.refusal", words.get("error", "?")) if control & 0x40 else say(language, "monitor.reply")
    if words["di"]:
        title = words.get("title_zh" if language == "zh" else "title", "")
        yield f"{words['di']} {title}".rstrip() if not words.get("values") else words["di"]
    values = words.get("values", [])
    if values:
        more = ["..."] if len(values) > _VALUES_SHOWN_MAX else []
        yield " ".join([*(_value(value) for value in values[:_VALUES_SHOWN_MAX]), *more])


def _value(value: dict[str, Any]) -> str:
    unit = "" if value["unit"] == "bits" else value["unit"]
    return "-" if value["value"] is None else f"{value['value']}{unit}"
