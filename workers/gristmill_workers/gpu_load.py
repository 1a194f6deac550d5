"""How busy NVIDIA's GPUs are, by the driver's own library: no process is started for it, and nothing is installed."""

from __future__ import annotations

import ctypes
from typing import Any, Final

_LIBRARY: Final = "libnvidia-ml.so.1"

#: GPUs that are told of, at most.
_MOST: Final = 64


class _Memory(ctypes.Structure):
    """`nvmlMemory_t`."""

    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class _Utilization(ctypes.Structure):
    """`nvmlUtilization_t`."""

    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class GpuLoad:
    """Looks at this machine's GPUs; where there are none, or no driver, it says nothing."""

    def __init__(self, library: str = _LIBRARY) -> None:
        """Take the name of the driver's library; it is opened when it is first needed."""
        self._name = library
        self._asked = False
        self._handles: list[ctypes.c_void_p] = []
        self._nvml: Any = None

    def document(self) -> list[dict[str, float]]:
        """Return what is known of each GPU, in the driver's order: `utilization` (0 to 1), `memory`, `memory_used`."""
        if not self._asked:
            self._asked = True
            self._open()
        return [self._look(handle) for handle in self._handles]

    def _open(self) -> None:
        try:
            nvml = ctypes.CDLL(self._name)
            count = ctypes.c_uint()
            if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)):
                return
            for number in range(min(count.value, _MOST)):
                handle = ctypes.c_void_p()
                if not nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(number), ctypes.byref(handle)):
                    self._handles.append(handle)
        except (OSError, AttributeError):
            return
        self._nvml = nvml

    def _look(self, handle: ctypes.c_void_p) -> dict[str, float]:
        """Return what a GPU tells; one that is cut into parts tells no utilization."""
        told: dict[str, float] = {}
        memory, utilization = _Memory(), _Utilization()
        if not self._nvml.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)):
            told |= {"memory": memory.total, "memory_used": memory.used}
        if not self._nvml.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(utilization)):
            told["utilization"] = utilization.gpu / 100
        return told
