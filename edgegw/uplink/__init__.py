"""The way to the cloud.

paho imports `urllib.request` for the proxies of web sockets, which edgegw does not speak, and with it come http, email and tempfile: 2 MB that the
gateway would hold for years. A stand-in that becomes the real module at the first use of it costs nothing. (importlib's LazyLoader does not
serve here: the import statement itself looks at `__spec__`, which loads what was to be put off.)
"""

from __future__ import annotations

import sys
import urllib
from types import ModuleType

_NAME = "urllib.request"


class _Later(ModuleType):
    """The module, loaded when something in it is asked for."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)  # Who looks through all modules asks for nothing in this one.
        if sys.modules.get(_NAME) is self:
            del sys.modules[_NAME]
        import urllib.request  # noqa: F401, PLC0415

        return getattr(sys.modules[_NAME], name)


if _NAME not in sys.modules:
    sys.modules[_NAME] = _later = _Later(_NAME)
    setattr(urllib, "request", _later)  # noqa: B010 - typed as the module that it stands for
