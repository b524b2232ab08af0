"""What the bits, letters and numbers of Megatec and Voltronic replies mean, each with a code, an English and a Chinese text. Pure data.

Sources: networkupstools/nut-website protocols/megatec.txt, voltronic.txt, voltronic-qs.txt; networkupstools/nut drivers/nutdrv_qx_voltronic.c.
"""

from __future__ import annotations

from typing import NamedTuple


class Word(NamedTuple):
    code: str
    en: str
    zh: str


# The order in which NUT writes the tokens of ups.status (drivers/nutdrv_qx.c, ups_status_set).
STATUS_ORDER = ("OL", "OB", "DISCHRG", "CHRG", "LB", "OVER", "RB", "TRIM", "BOOST", "BYPASS", "OFF", "CAL", "FSD")

STATUS_TEXTS = {
    "OL": ("on mains", "市电供电"),
    "OB": ("on battery", "电池供电"),
    "LB": ("battery low", "电池电压低"),
    "OVER": ("overload", "过载"),
    "RB": ("replace battery", "需更换电池"),
    "TRIM": ("lowers the mains voltage", "降压稳压"),
    "BOOST": ("raises the mains voltage", "升压稳压"),
    "BYPASS": ("on bypass", "旁路供电"),
    "OFF": ("output off", "输出关闭"),
    "CAL": ("battery test", "电池自检"),
    "FSD": ("shutting down", "正在关机"),
}

# QMOD: letter to mode, and what it says for ups.status.
MODES = {
    "P": (Word("power_on", "starting", "开机中"), ""),
    "S": (Word("standby", "stand-by, output off", "待机"), "OFF"),
    "Y": (Word("bypass", "bypass", "旁路"), "BYPASS"),
    "L": (Word("line", "on mains", "市电"), "OL"),
    "B": (Word("battery", "on battery", "电池"), "OB"),
    "T": (Word("battery_test", "battery test", "电池自检"), "CAL"),
    "F": (Word("fault", "fault", "故障"), ""),
    "E": (Word("eco", "ECO", "ECO 节能"), ""),
    "C": (Word("converter", "frequency converter", "变频"), ""),
    "D": (Word("shutdown", "shutting down", "关机中"), "FSD"),
    "G": (Word("grid", "grid-tie", "并网"), ""),
    "H": (Word("power_saving", "power saving", "省电"), ""),
}

ALARMS = {
    "ups_failed": ("the UPS reports a fault", "UPS 故障"),
    "ups_fault": ("the UPS reports a fault (QFS tells which)", "UPS 故障（QFS 可查原因）"),
    "mode_fault": ("the UPS is in fault mode", "UPS 处于故障模式"),
}

_PARALLEL = "settings differ in the parallel system"
_PARALLEL_ZH = "并机设置不一致"
# QWS, bit 1 leftmost. What is not here is `unknown_bit_N`.
WARNINGS: dict[int, Word] = {
    1: Word("battery_disconnected", "battery not connected", "电池未接"),
    2: Word("neutral_missing", "neutral not connected", "零线未接"),
    3: Word("site_fault", "live and neutral swapped or no earth", "市电接线错误"),
    4: Word("phase_sequence", "wrong phase sequence", "相序错误"),
    5: Word("bypass_phase_sequence", "wrong phase sequence of the bypass", "旁路相序错误"),
    6: Word("bypass_frequency_unstable", "bypass frequency not stable", "旁路频率不稳"),
    7: Word("battery_overcharge", "battery overcharged", "电池过充"),
    8: Word("battery_low", "battery low", "电池电压低"),
    9: Word("overload", "overload", "过载"),
    10: Word("fan", "fan", "风扇异常"),
    11: Word("emergency_power_off", "emergency power off is active", "紧急关机 (EPO) 有效"),
    12: Word("cannot_turn_on", "the UPS cannot be turned on", "无法开机"),
    13: Word("over_temperature", "over temperature", "温度过高"),
    14: Word("charger", "charger", "充电器异常"),
    15: Word("remote_shutdown", "shut down by remote command", "远程关机"),
    16: Word("input_fuse_l1", "input fuse L1", "L1 输入熔断器"),
    17: Word("input_fuse_l2", "input fuse L2", "L2 输入熔断器"),
    18: Word("input_fuse_l3", "input fuse L3", "L3 输入熔断器"),
    **{19 + 2 * n: Word(f"pfc_positive_l{n + 1}", f"positive PFC of L{n + 1}", f"L{n + 1} 正 PFC 异常") for n in range(3)},
    **{20 + 2 * n: Word(f"pfc_negative_l{n + 1}", f"negative PFC of L{n + 1}", f"L{n + 1} 负 PFC 异常") for n in range(3)},
    25: Word("can_bus", "CAN bus", "CAN 通信异常"),
    26: Word("synchronous_signal", "synchronous signal", "同步信号异常"),
    27: Word("synchronous_pulse", "synchronous pulse", "同步脉冲异常"),
    28: Word("host_signal", "host signal", "主机信号异常"),
    29: Word("parallel_cable_male", "plug of the parallel cable", "并机线公头未接好"),
    30: Word("parallel_cable_female", "socket of the parallel cable", "并机线母头未接好"),
    31: Word("parallel_cable", "parallel cable", "并机线未接好"),
    **{n: Word(f"parallel_setting_{n}", f"{_PARALLEL} (bit {n})", f"{_PARALLEL_ZH}（位 {n}）") for n in (*range(32, 38), *range(39, 51))},
    38: Word("cell_overcharge", "a battery cell is overcharged", "电池单体过充"),
    51: Word("locked_in_bypass", "locked in bypass after 3 overloads in 30 min", "30 分钟内 3 次过载，锁定旁路"),
    52: Word("input_current_unbalance", "input currents not balanced", "输入电流不平衡"),
    53: Word("battery_input_current_unbalance", "input currents not balanced on battery", "电池模式输入电流不平衡"),
    54: Word("inverter_current_unbalance", "inverter currents not balanced", "逆变电流不平衡"),
    55: Word("outlet_cut_off", "programmable outlets will be cut off", "可编程插座即将断电"),
    56: Word("replace_battery", "replace the battery", "需更换电池"),
    57: Word("input_phase_angle", "input phase angle", "输入相角异常"),
    58: Word("maintenance_cover_open", "maintenance cover open", "维修盖板打开"),
    62: Word("eeprom", "EEPROM", "EEPROM 异常"),
}
# Warnings that say something for ups.status.
WARNING_STATUS = {8: "LB", 9: "OVER", 56: "RB"}

# QFS. P31 devices have a list of their own, which is not told apart here: the number stays what it is.
FAULTS: dict[int, Word] = {
    1: Word("bus_start", "DC bus does not start", "母线软起失败"),
    2: Word("bus_over", "DC bus voltage too high", "母线电压高"),
    3: Word("bus_under", "DC bus voltage too low", "母线电压低"),
    4: Word("bus_unbalance", "DC bus voltages differ", "母线电压不平衡"),
    5: Word("bus_slope", "DC bus voltage falls too fast", "母线电压跌落过快"),
    6: Word("pfc_over_current", "over-current of the PFC", "PFC 过流"),
    11: Word("inverter_start", "inverter does not start", "逆变软起失败"),
    12: Word("inverter_over", "inverter voltage too high", "逆变电压高"),
    13: Word("inverter_under", "inverter voltage too low", "逆变电压低"),
    14: Word("inverter_short", "inverter output short-circuited", "逆变输出短路"),
    15: Word("inverter_short_l2", "inverter L2 short-circuited", "L2 逆变短路"),
    16: Word("inverter_short_l3", "inverter L3 short-circuited", "L3 逆变短路"),
    17: Word("inverter_short_l1l2", "inverter L1-L2 short-circuited", "L1-L2 逆变短路"),
    18: Word("inverter_short_l2l3", "inverter L2-L3 short-circuited", "L2-L3 逆变短路"),
    19: Word("inverter_short_l3l1", "inverter L3-L1 short-circuited", "L3-L1 逆变短路"),
    21: Word("battery_scr_short", "battery SCR short-circuited", "电池晶闸管短路"),
    22: Word("line_scr_short", "line SCR short-circuited", "市电晶闸管短路"),
    23: Word("inverter_relay_open", "inverter relay open", "逆变继电器断开"),
    24: Word("inverter_relay_short", "inverter relay short-circuited", "逆变继电器粘连"),
    25: Word("wiring_reversed", "input and output swapped", "输入输出接反"),
    26: Word("battery_reversed", "battery connected the wrong way round", "电池接反"),
    27: Word("battery_over", "battery voltage too high", "电池电压高"),
    28: Word("battery_under", "battery voltage too low", "电池电压低"),
    29: Word("battery_fuse", "battery fuse", "电池熔断器断开"),
    31: Word("can_bus", "CAN bus", "CAN 通信故障"),
    32: Word("host_signal", "host signal", "主机信号故障"),
    33: Word("synchronous_signal", "synchronous signal", "同步信号故障"),
    34: Word("synchronous_pulse", "synchronous pulse", "同步脉冲故障"),
    35: Word("parallel_cable", "parallel cable", "并机线断开"),
    36: Word("load_unbalance", "load not balanced", "负载不均"),
    41: Word("over_temperature", "over temperature", "过温"),
    42: Word("cpu_communication", "the CPUs do not hear each other", "CPU 间通信故障"),
    43: Word("overload", "overload", "过载"),
    44: Word("fan", "fan", "风扇故障"),
    45: Word("charger", "charger", "充电器故障"),
    46: Word("model", "model setting", "机型设置故障"),
    47: Word("mcu_communication", "communication of the MCU", "MCU 通信故障"),
}


def in_order(tokens: set[str]) -> str:
    """ups.status of these tokens, in NUT's order."""
    return " ".join(token for token in STATUS_ORDER if token in tokens)
