"""One process to fork from for the scans of many tests, which would spend most of their time on starting one each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from medpipe.engine import launch
from medpipe.engine.forks import Zygote
from medpipe.engine.sandbox import SandboxSpec


class Lasting(Zygote):
    """A zygote that outlasts the pools it forks for; their sandboxes are forked and ended as ever."""

    def close(self) -> None:
        """Leave it as it is."""

    def end(self) -> None:
        """End it."""
        super().close()


@contextmanager
def lasting_zygotes() -> Iterator[None]:
    """Let pools of this process fork from zygotes that last, where environment and folder are those of now."""
    kept: dict[str, Lasting] = {}
    begun = (launch._environment(), Path.cwd())
    usual = SandboxSpec.zygote
    with ExitStack() as stack:

        def zygote(spec: SandboxSpec) -> Zygote | None:
            if not spec.forks or (launch._environment(), Path.cwd()) != begun:
                return usual(spec)
            module = spec.session.partition(":")[0]
            if module not in kept:
                kept[module] = Lasting(module, start_s=spec.start_timeout_s)
                stack.callback(kept[module].end)
            return kept[module]

        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(SandboxSpec, "zygote", zygote)
        yield
