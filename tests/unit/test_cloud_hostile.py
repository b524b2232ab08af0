"""What a gateway with a stolen key or a faulty program signs: refused by the receiver, which goes on for all others."""

from __future__ import annotations

from decimal import Decimal

import cbor2
import pytest

from edgegw.block import pack
from edgegw.model import Identity
from edgegw.uplink.envelope import BATCH, NO_IDENTITY, SCHEMA
from tests.unit.test_cloud_intake import Cloud
from tests.uplink_rig import EPOCH
from tests.uplink_rig import SCHEMA as SCHEMA_HASH

ROWS = 33_000
HUGE = 10**5000


@pytest.fixture
def cloud(tmp_path):
    made = Cloud(tmp_path)
    made.schema()
    yield made
    made.sink.close()


def literal(value: object) -> list[object]:
    return [7, 0, 1000, [], [{0: [value]}, 2, 3]]


@pytest.mark.parametrize(
    ("rows", "runs"),
    [
        (1, [literal([1])]),
        (1, [literal({1: 2})]),
        (1, [literal(Decimal("1.5"))]),
        (1, [literal(cbor2.undefined)]),
        (1, [literal(cbor2.CBORTag(9999, 1))]),
        (1, [literal(None)]),
        (2, [[7, 0, 1000, [0], [[[1], [2]], 2, 3]]]),
        (2, [[7, 0, 1000, [0], [["a", "b"], 2, 3]]]),
        (1, [[7, 0, 1000, [], [[True], 2, 3]]]),
        (1, [[[7], 0, 1000, [], [1, 2, 3]]]),
        (2, [["7", 0, 1000, [], [1, 2, 3]], [7, 0, 1000, [], [1, 2, 3]]]),
        (1, [[7.0, 0, 1000, [], [1, 2, 3]]]),
        (1, [[7, 0.5, 1000, [], [1, 2, 3]]]),
        (1, [[7, 0, 1000, [0] * 1_000_000, []]]),
        (ROWS, [[7, 0, 1000, [0] * (ROWS - 1), [None] * 3, [[None, 0, ROWS - 1, 17]] * 2]]),
    ],
)
def test_a_block_of_other_types_is_refused(cloud, rows, runs):
    """
    Values that no sink holds, sources and times that are no integers, rows without values and qualities beyond all values are refused for their content.
    """
    body = pack(cbor2.dumps([1, SCHEMA_HASH, 1, 1, 1, runs]))
    assert [] == cloud.take("t", cloud.sealer.seal(BATCH, Identity(EPOCH, 3, 1, rows), body))
    assert ["content"] == cloud.refused()
    assert [Identity(EPOCH, 3, 1, 10)] == cloud.batch(1, 10)


@pytest.mark.parametrize("item", [HUGE, {HUGE: 1}, cbor2.CBORTag(9999, HUGE), [Decimal("1.5")]], ids=["number", "key", "tag", "decimal"])
def test_an_event_with_what_is_no_plain_value_is_refused(cloud, item):
    """
    Numbers of thousands of digits and types that JSON does not know do not end the receiver.
    """
    body = pack(cbor2.dumps([2, [[1, 1, 1, "kind", None, {"key": item}]]]))
    assert [] == cloud.take("e", cloud.sealer.seal(BATCH, Identity(EPOCH, 1, 1, 1), body))
    assert ["content"] == cloud.refused()


@pytest.mark.parametrize("row", [[], {}, 5, "abc", [[7], "device", "kind", 1, []]])
def test_a_schema_document_of_other_types_is_refused(cloud, row):
    """
    A source that is no list, or an empty one, is refused for its content.
    """
    assert [] == cloud.take("m", cloud.sealer.seal(SCHEMA, NO_IDENTITY, pack(cbor2.dumps([1, 0, [row]]))))
    assert ["content"] == cloud.refused()
