"""The process that opens files: limited in memory, killed when it takes too long, worth nothing.

It answers JSON requests on a socket; voxels go back as the handle of anonymous shared memory, which the
kernel frees with its last user, whoever is killed. Nothing is unpickled on either side.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import reduction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

import numpy as np

from medunet.errors import DataError, MedunetError
from medunet.io.facts import facts_of, identify
from medunet.io.find import Source, find_images
from medunet.io.read import content_hash, read_image
from medunet.io.volume import Array
from medunet.studies.identity import short_id
from medunet.studies.message import pack_volume

Answer = tuple[dict[str, Any], Array | None]
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)


def scan(request: dict[str, Any]) -> Answer:
    """Return the images among some files, under hashed ids, and what is none."""
    sources, skipped = find_images([Path(file) for file in request["files"]])
    images: list[dict[str, Any]] = []
    left: list[dict[str, Any]] = [{"path": str(s.path), "reason": s.reason} for s in skipped]
    for source in sources:
        try:
            found = identify(source)
        except (MedunetError, OSError) as error:
            left.append({"path": str(source.files[0]), "reason": str(error), "meant": True})
            continue
        images.append(
            {
                "files": [str(file) for file in source.files],
                "study": short_id(found.study or found.content),
                "series": short_id(found.series) if found.series else "",
                "content": found.content,
                "dicom": bool(source.slices),
                "part": source.part,
            }
        )
    return {"images": images, "left": left}, None


def facts(request: dict[str, Any]) -> Answer:
    """Return what one image says about itself."""
    return vars(facts_of(source_of(request["image"]), request["irregular"])), None


def read(request: dict[str, Any]) -> Answer:
    """Return a volume, and the hashes of its files; several images are one channel each."""
    sources = [source_of(image) for image in request["images"]]
    how = {key: request[key] for key in ("channels", "pixel_mm", "irregular")}
    volume = read_image(sources[0] if len(sources) == 1 else cast("Sequence[Path]", sources), **how)
    hashes = [content_hash(source) for source in sources]
    return {"volume": pack_volume(volume), "sha256": hashes}, volume.array


def source_of(image: dict[str, Any]) -> Source:
    """Return the source of one image: its files, and which volume of theirs."""
    paths = [Path(file) for file in image["files"]]
    sources, skipped = find_images(paths)
    for source in sources:
        if len(sources) == 1 or source.part == image["part"]:  # alone, it has no other to be told from
            return source
    raise DataError(skipped[0].reason if skipped else f"{paths[0]}: the files changed since they were queued")


WORK: dict[str, Callable[[dict[str, Any]], Answer]] = {"scan": scan, "facts": facts, "read": read}


def answer(request: dict[str, Any]) -> Answer:
    """Do what is asked; whatever goes wrong becomes an answer, because this process exists to contain it."""
    try:
        return WORK[request["do"]](request)
    except (MedunetError, OSError) as error:
        short = isinstance(error.__cause__, MemoryError)
        return {"error": str(error), "kind": "memory" if short else "data"}, None
    except MemoryError:
        return {"error": "reading needs more memory than it is given", "kind": "memory"}, None
    except Exception as error:  # noqa: BLE001
        place = traceback.extract_tb(error.__traceback__)[-1]
        said = f"reading failed ({type(error).__name__} in {Path(place.filename).name}:{place.lineno})"
        return {"error": said, "kind": "bug"}, None


def serve(connection: Connection) -> None:
    """Say that all is ready, then answer until the other side is gone."""
    connection.send_bytes(b"ready")
    while True:
        try:
            request = json.loads(connection.recv_bytes())
        except EOFError:
            return
        reply, array = answer(request)
        if array is not None:  # as it lies in memory, which is the fastest copy
            order = [int(axis) for axis in np.argsort([-abs(step) for step in array.strides], kind="stable")]
            array = array.transpose(order)
            reply["array"] = {"shape": array.shape, "dtype": array.dtype.str, "order": order}
        connection.send_bytes(json.dumps(reply).encode())
        if array is not None:
            handle = shared(array)
            reduction.send_handle(connection, handle, os.getppid())
            os.close(handle)


def shared(array: Array) -> int:
    """Return the handle of anonymous memory that holds a copy of an array."""
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("medunet")
    else:
        with tempfile.TemporaryFile() as file:
            handle = os.dup(file.fileno())
    os.ftruncate(handle, max(1, array.nbytes))
    with mmap.mmap(handle, max(1, array.nbytes)) as memory:
        view: Array = np.frombuffer(memory, array.dtype, array.size).reshape(array.shape)
        view[...] = array
        del view
    return handle


def limit(memory_bytes: int) -> None:
    """Bound the address space of this process, and end it with its parent (the thread that started it)."""
    import resource

    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    allowed = memory_bytes if most == resource.RLIM_INFINITY else min(memory_bytes, most)
    with suppress(ValueError, OSError):  # macOS knows no such limit; there, only time is bounded
        resource.setrlimit(resource.RLIMIT_AS, (allowed, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold the patient
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)


def main() -> None:
    """Run the process: arguments are the handle of the socket and the memory in bytes."""
    handle, memory_bytes = map(int, sys.argv[1:3])
    limit(memory_bytes)
    serve(Connection(handle))


if __name__ == "__main__":
    main()
