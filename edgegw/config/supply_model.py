"""`[supply]`: what the station may take from the grid. Rules about demand and power factor need it."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class Supply(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The station's connection to the grid."""

    meter: Annotated[str, Meta(description="Device that is the incoming meter; empty: demand and power factor are not judged.", max_length=32)] = ""
    contracted_kw: Annotated[float, Meta(description="Contracted demand in kW; 0: not judged.", ge=0, le=1_000_000)] = 0.0
    transformer_kva: Annotated[float, Meta(description="Rating of the transformer in kVA; 0: not judged.", ge=0, le=1_000_000)] = 0.0
