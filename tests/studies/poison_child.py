"""A reading process that is poisoned by the names of files: exit, crash, hang, eat, sector or bug."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from medunet.studies import child


def poisoned(work: Any) -> Any:
    def do(request: dict[str, Any]) -> Any:
        text = str(request)
        if "exit" in text:
            os._exit(3)
        if "crash" in text:
            os.kill(os.getpid(), signal.SIGSEGV)
        if "hang" in text:
            time.sleep(1000)
        if "eat" in text:
            return [bytearray(2**28) for _ in range(1000)]
        if "sector" in text:
            raise OSError(5, "Input/output error")
        if "bug" in text:
            raise KeyError("Smith^John")
        return work(request)

    return do


child.WORK = {name: poisoned(work) for name, work in child.WORK.items()}

if __name__ == "__main__":
    child.main()
