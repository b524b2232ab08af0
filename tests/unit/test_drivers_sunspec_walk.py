"""Where a SunSpec map begins and what its chain holds: bases, lengths that lie, chains without end."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sunspec_rig import REFUSED, SILENT, Image, common, image, introduce, load_image, model, plan

from edgegw.bus.introducing import INTRODUCTION_QUESTIONS_MAX
from edgegw.drivers.modbus_codec import tcp_question
from edgegw.drivers.sunspec_walk import MODELS_MAX, Chain, find_chain
from edgegw.model import Answer, Fault

BASES = (40000, 0, 50000)


def walk(device, bases=BASES):
    """(chain or fault, questions) of a device."""
    talk = find_chain(lambda function, address, count: tcp_question(1, function, address, count), bases)
    asked = []
    try:
        question = next(talk)
        while True:
            asked.append(struct.unpack(">BHH", question.payload[5:]))
            assert len(asked) < 400, "the walk does not end"
            question = talk.send(device.answer(question))
    except StopIteration as end:
        return end.value, asked


def places(device):
    return [tuple(place[:3]) for place in walk(device)[0].places]


@pytest.mark.parametrize("name", ["solaredge-3ph-with-meter", "constructed-103-120-160-124"])
def test_golden_chains(name):
    """
    Id, address and length of every model are those of the captured or constructed device.
    """
    device, table = load_image(name)
    chain, _ = walk(device)
    assert table["chain"] == [list(place[:3]) for place in chain.places]
    assert (table["base"], 3, "") == (chain.base, chain.function, chain.note)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("function", [3, 4])
@pytest.mark.parametrize("outside", [REFUSED, SILENT, Fault("exception", "busy", 6)])
def test_each_base_is_found_whatever_stands_for_nothing(base, function, outside):
    """
    The marker is found at each base, with function 3 or 4, whether the others are refused, silent or busy; only silence everywhere ends it.
    """
    device = image(common(), model(103), base=base, functions=(function,), outside=outside)
    chain, asked = walk(device)
    if function == 4 and outside is not REFUSED:
        assert isinstance(chain, Fault)
        assert len(asked) <= 3 * len(BASES)
    else:
        assert (base, function) == (chain.base, chain.function)


def test_another_marker_is_none():
    """
    Registers that are there but do not say SunS are no base.
    """
    device = Image([0x5375, 0x6E54, *common()])
    chain, asked = walk(device)
    assert isinstance(chain, Fault)
    assert "no SunSpec marker at 40000, 0, 50000" == chain.text
    assert 6 == len(asked)


def test_lengths_are_the_device_s_own():
    """
    A common model of 65 registers, a model that is longer and one that is shorter than nominal, and unknown models are stepped over by what they say.
    """
    longer = [103, 54, *model(103)[2:], 1, 2, 3, 4]
    device = image(common(length=65), longer, model(64110, length=7), [120, 10, *[0] * 10], model(65534, length=0), model(160, modules=[{}, {}]))
    expected = [(1, 40002, 65), (103, 40069, 54), (64110, 40125, 7), (120, 40134, 10), (65534, 40146, 0), (160, 40148, 48)]
    assert expected == places(device)


@pytest.mark.parametrize("end", [[0xFFFF, 0], [0xFFFF], [0xFFFF, 0xFFFF]])
def test_the_end_mark_may_lack_its_length(end):
    """
    The chain ends at FFFFH, with a length behind it or with nothing.
    """
    chain, _ = walk(image(common(), model(103), end=end))
    assert ([1, 103], "") == ([place.model for place in chain.places], chain.note)


def test_a_second_common_model_begins_another_device():
    """
    What stands behind it belongs to the second logical device.
    """
    chain, _ = walk(image(common("A"), model(103), common("B"), model(203)))
    assert [(1, 1), (103, 1), (1, 2), (203, 2)] == [(place.model, place.device) for place in chain.places]


def test_a_chain_without_end_is_left():
    """
    After a bounded number of models the walk stops and says so.
    """
    device = image(common(), *[model(64000, length=1)] * 300)
    chain, asked = walk(device)
    assert MODELS_MAX == len(chain.places)
    assert f"the chain has more than {MODELS_MAX} models" == chain.note
    assert MODELS_MAX + 1 == len(asked)
    assert len(introduce(plan(), device)[1]) <= INTRODUCTION_QUESTIONS_MAX


def test_a_chain_of_nothing_is_left():
    """
    Zeros where a header should be end the chain with a word about the place.
    """
    chain, _ = walk(image(common(), model(103), end=[0] * 200))
    assert [1, 103] == [place.model for place in chain.places]
    assert "the chain breaks at 40122, behind model 103 at 40070" == chain.note


def test_a_length_beyond_the_last_address_is_no_length():
    """
    A model that would reach beyond register 65535 is not taken.
    """
    chain, _ = walk(image(common(), [9000, 0xFFF0, 1, 2, 3]))
    assert [1] == [place.model for place in chain.places]
    assert chain.note.startswith("the chain breaks at 40070")


@pytest.mark.parametrize("lie", [49, 51, 40])
def test_a_length_that_lies_is_mended_by_what_stands_there(lie):
    """
    Where the chain breaks behind a model whose length is not nominal, the header that stands at the nominal length, or one beside, is taken.
    """
    inverter = model(103, {"EvtVnd4": 0})
    inverter[1] = lie
    chain, _ = walk(image(common(), inverter, model(120), model(160, modules=[{}])))
    assert [1, 103, 120, 160] == [place.model for place in chain.places]


def test_an_end_with_a_model_behind_it_is_none():
    """
    A field that is not implemented looks like the end mark; when a known model stands where the nominal length leads, that is the next one.
    """
    inverter = model(103)
    inverter[1] = 49
    chain, _ = walk(image(common(), inverter, model(120)))
    assert [1, 103, 120] == [place.model for place in chain.places]


def test_silence_on_the_way_is_a_fault():
    """
    A device that falls silent in the middle of its chain has not been met.
    """
    talk = find_chain(lambda function, address, count: tcp_question(1, function, address, count), BASES)
    device = image(common(), model(103))
    marker = device.answer(next(talk))
    assert Answer(b"SunS", 0) == marker
    talk.send(marker)
    with pytest.raises(StopIteration) as end:
        for _ in range(10):
            talk.send(SILENT)
    assert SILENT == end.value.value


headers = st.tuples(st.one_of(st.sampled_from([1, 101, 103, 113, 120, 160, 203, 64001, 0, 0xFFFF]), st.integers(0, 0xFFFF)), st.integers(0, 0xFFFF))


@settings(max_examples=300, deadline=None)
@given(
    blocks=st.lists(st.tuples(headers, st.lists(st.integers(0, 0xFFFF), max_size=130)), max_size=12),
    base=st.sampled_from(BASES),
    longest=st.sampled_from([1, 2, 4, 10, 50, 125]),
)
def test_whatever_stands_there_the_introduction_ends(blocks, base, longest):
    """
    Random chains, random lengths, random refusals: a bounded number of questions, a chain or a fault, and nothing raised.
    """
    registers = [word for (model_id, length), rest in blocks for word in (model_id, length, *rest)]
    device = Image([0x5375, 0x6E53, *registers], base, (3,), longest)
    found, asked = walk(device)
    assert isinstance(found, Chain | Fault)
    assert len(asked) <= 3 * MODELS_MAX
    introduction, questions = introduce(plan(), device)
    assert introduction.note or introduction.sources
    assert len(questions) <= 400
    if introduction.sources is not None:
        assert [planned.source for planned in introduction.sources] == [planned.source for planned in plan().sources]
