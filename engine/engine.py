"""The engine: what all sandboxes of an application share. The compiled guest, its images, the watchdog.

Made lazily by whatever first needs one, or explicitly by an application. It costs nothing while no guest runs: no
thread, no timer.
"""

import os
import threading

from divebell.runtime import compiled, native
from divebell.runtime.image import REPRODUCIBLE_KEY, Image, boot
from divebell.runtime.pages import can_protect
from divebell.runtime.watchdog import Watchdog


class Engine:
    """Compiled guest, images and watchdog. Thread-safe; one per process is usual.

    `epochs` compiles the guest with checks that end a runaway cell, where the operating system cannot take its memory
    away (Windows), or where DIVEBELL_EPOCHS=1 asks for it. The guest then runs about a third slower.
    """

    def __init__(self, *, epochs: bool | None = None) -> None:
        wanted = os.environ.get("DIVEBELL_EPOCHS", "") in ("1", "true", "yes") if epochs is None else epochs
        self.epochs = wanted or not can_protect()
        self._lock = threading.Lock()
        self._module: native.NativeModule | None = None
        self._images: dict[bool, Image] = {}
        self._watchdog: Watchdog | None = None

    def warm(self) -> None:
        """Compile or load the guest and boot the image now, rather than with the first sandbox."""
        self.image(reproducible=False)

    def image(self, *, reproducible: bool) -> Image:
        """The image for unseeded sandboxes (its hash secret is random) or for seeded ones (it is always the same)."""
        with self._lock:
            if reproducible not in self._images:
                if self._module is None:
                    engine = native.make_engine(epochs=self.epochs)
                    self._module = native.NativeModule(engine, compiled.load(engine, epochs=self.epochs))
                key = REPRODUCIBLE_KEY if reproducible else None
                self._images[reproducible] = boot(self._module, key)
            return self._images[reproducible]

    @property
    def watchdog(self) -> Watchdog:
        with self._lock:
            if self._watchdog is None:
                assert self._module is not None, "a sandbox asks for its image first"
                self._watchdog = Watchdog(self._module.engine.increment_epoch if self.epochs else None)
            return self._watchdog


_default: Engine | None = None
_default_lock = threading.Lock()


def default_engine() -> Engine:
    """The process's own engine, made when it is first asked for (and again after a fork)."""
    global _default
    with _default_lock:
        if _default is None:
            _default = Engine()
        return _default


def _after_fork() -> None:
    """A forked child shares no threads with its parent; its engine starts anew."""
    global _default, _default_lock
    _default, _default_lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
