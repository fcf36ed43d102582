"""The runtime that runs guests in this process: one compiled module, one image of each kind, one watchdog.

Guaranteed: nothing is compiled, booted or started before the first guest needs it, and there is no thread while no
guest runs. Not guaranteed: protection from a fault in wasmtime itself, which would be one in this process.
"""

import os
import threading

from divebell.runtime import compiled, native
from divebell.runtime.base import Checkpoint, GuestSpec
from divebell.runtime.ctrl_c import without_ctrl_c
from divebell.runtime.image import REPRODUCIBLE_KEY, BootImage, boot
from divebell.runtime.instance import Instance
from divebell.runtime.pages import can_protect
from divebell.runtime.watchdog import Watchdog


class InProcessRuntime:
    """A Runtime.

    epochs: whether the guest is compiled with checks that end a runaway cell, which make it about a third slower. By
    default only where its memory cannot be taken away instead (Windows), or where DIVEBELL_EPOCHS=1.
    """

    def __init__(self, *, epochs: bool | None = None) -> None:
        is_requested = os.environ.get("DIVEBELL_EPOCHS", "") in ("1", "true", "yes") if epochs is None else epochs
        self.epochs = is_requested or not can_protect()
        self._lock = threading.Lock()
        self._module: native.NativeModule | None = None
        self._images: dict[bool, BootImage] = {}
        self._watchdog: Watchdog | None = None

    def warm(self, *, is_reproducible: bool = False) -> None:
        """Compile or load the guest, and boot the image."""
        self.image(is_reproducible=is_reproducible)

    def spawn(self, spec: GuestSpec, *, state: Checkpoint | None = None, random_key: bytes | None = None) -> Instance:
        """See Runtime.spawn."""
        image = self.image(is_reproducible=spec.is_reproducible)
        instance = Instance(image, self._get_watchdog(), spec.limits, spec.context, epochs=self.epochs)
        try:
            if state is not None:
                instance.restore(state)
            if random_key is not None:
                instance.write_random_key(random_key)
            if state is None:
                instance.attach()
        except BaseException:
            instance.close()
            raise
        return instance

    def image(self, *, is_reproducible: bool) -> BootImage:
        """The image of unseeded guests (its hash secret is random) or of seeded ones (it is always the same)."""
        with self._lock:
            if is_reproducible not in self._images:
                if self._module is None:
                    with without_ctrl_c():
                        engine = native.make_engine(epochs=self.epochs)
                    loaded = compiled.load(engine, epochs=self.epochs)
                    with without_ctrl_c():
                        self._module = native.NativeModule(engine, loaded)
                key = REPRODUCIBLE_KEY if is_reproducible else None
                with without_ctrl_c():  # the boot calls back from the guest, where an exception would be lost
                    self._images[is_reproducible] = boot(self._module, key)
            return self._images[is_reproducible]

    def _get_watchdog(self) -> Watchdog:
        with self._lock:
            if self._watchdog is None:
                assert self._module is not None, "a guest has its image first"
                self._watchdog = Watchdog(self._module.engine.increment_epoch if self.epochs else None)
            return self._watchdog
