"""Images as the browser fetches them: packed once, slab by slab from the middle, and kept on disk.

cache/KEY/picture.json says what the voxels are; cache/KEY/N.gz is slab N, `all.gz` the whole image. KEY is
the hash of the image's content and of how it is packed: what lies under a key never changes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from dashboards.pack import pack
from dashboards.picture import Picture, middle_out, picture_of, read_volume, slab_bytes
from medunet.errors import DataError
from medunet.io.read import content_hash, read_image
from medunet.io.write import write_atomic
from medunet.review.cases import Case

FORMAT = 1  # raised when the bytes under a key would be others
WHOLE = "all"
PACKERS = 2


class VoxelCache:
    """The packed images of a room; safe for many threads. `limit_bytes` bounds the folder."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        """Keep where the files lie; nothing is read yet."""
        self.folder, self.limit_bytes = folder, limit_bytes
        self._pool = ThreadPoolExecutor(PACKERS, thread_name_prefix="pack")
        self._jobs: dict[str, Future[None]] = {}
        self._landed = threading.Condition()

    def close(self) -> None:
        """Stop packing; what waits is dropped."""
        self._pool.shutdown(cancel_futures=True)

    @staticmethod
    def key(case: Case) -> str:
        """Return the name under which a case's voxels lie: of the image's content and of how it is read."""
        how = [case.facts.get(name) for name in ("channels", "groups", "irregular", "pixel_mm")]
        text = json.dumps([FORMAT, case.image_sha256, len(case.images), case.modality, how])
        return hashlib.sha256(text.encode()).hexdigest()

    def picture(self, case: Case) -> Picture:
        """Return what the image is, reading it first where it is new."""
        fields = json.loads(self._read(case, "picture.json"))
        return Picture(**{**fields, "shape": tuple(fields["shape"])})

    def slab(self, case: Case, part: str) -> bytes:
        """Return a slab (its number) or the whole image (`all`) as gzip; DataError where there is none."""
        picture = self.picture(case)
        if part == WHOLE and picture.slabs == 1:
            part = "0"
        if part == WHOLE:
            return self._made(case, "all.gz", lambda: _whole(case, picture)).read_bytes()
        if not part.isdecimal() or int(part) >= picture.slabs:
            raise DataError(f"no slab {part[:20]!r}; expected 0 to {picture.slabs - 1}, or {WHOLE}")
        return self._read(case, f"{int(part)}.gz")

    def uncertainty(self, case: Case) -> bytes:
        """Return the uncertainty (X, Y, Z) as gzip of uint8, 255 the highest; DataError without one."""
        if case.uncertainty_map is None:
            raise DataError(f"case {case.id} has no map of uncertainty")
        source = Path(case.uncertainty_map)
        name = f"uncertainty-{content_hash(source)[:16]}.gz"
        return self._made(case, name, lambda: _heat(case, source)).read_bytes()

    def prepare(self, case: Case) -> None:
        """Pack an image in the background, for whoever opens it next."""
        folder = self.folder / self.key(case)
        there = len(list(folder.glob("[0-9]*.gz")))
        if not (folder / "picture.json").exists() or there < self.picture(case).slabs:
            self._job(case)

    def _made(self, case: Case, name: str, make: Callable[[], bytes]) -> Path:
        path = self.folder / self.key(case) / name
        if not path.exists():
            with write_atomic(path) as temporary:
                temporary.write_bytes(pack(make()))
        return path

    def _read(self, case: Case, name: str) -> bytes:
        """Return a file of a packed image, waiting for it where it is not there yet."""
        path = self.folder / self.key(case) / name
        while True:
            try:
                return path.read_bytes()
            except FileNotFoundError:
                self._wait_for(path, self._job(case))

    def _wait_for(self, path: Path, job: Future[None]) -> None:
        with self._landed:
            self._landed.wait_for(lambda: path.exists() or job.done())
        if not path.exists():
            job.result()  # says why there is nothing

    def _job(self, case: Case) -> Future[None]:
        """Return the packing of a case that is under way, or start it."""
        key = self.key(case)
        with self._landed:
            job = self._jobs.get(key)
            if job is None or job.done():
                self._jobs = {known: other for known, other in self._jobs.items() if not other.done()}
                job = self._jobs[key] = self._pool.submit(self._pack, case, self.folder / key)
                job.add_done_callback(lambda _: self._tell())
            return job

    def _tell(self) -> None:
        with self._landed:
            self._landed.notify_all()

    def _pack(self, case: Case, folder: Path) -> None:
        volume = read_volume(case)
        picture = picture_of(volume, case.modality)
        _write(folder / "picture.json", json.dumps(picture.to_json()).encode())
        self._tell()
        for number in middle_out(picture.slabs):
            path = folder / f"{number}.gz"
            if not path.exists():
                _write(path, pack(slab_bytes(volume, picture, picture.planes(number))))
                self._tell()
        self._make_room()

    def _make_room(self) -> None:
        """Throw out the images packed longest ago, until the folder holds less than its limit."""
        with self._landed:  # one thread at a time
            busy = {key for key, job in self._jobs.items() if not job.done()}
            total = 0
            for folder in sorted(self.folder.glob("*/"), key=_modified, reverse=True):
                total += sum(file.stat().st_size for file in folder.iterdir())
                if total > self.limit_bytes and folder.name not in busy:
                    shutil.rmtree(folder, ignore_errors=True)


def _modified(path: Path) -> float:
    return path.stat().st_mtime


def _write(path: Path, data: bytes) -> None:
    with write_atomic(path) as temporary:
        temporary.write_bytes(data)


def _whole(case: Case, picture: Picture) -> bytes:
    return slab_bytes(read_volume(case), picture, slice(0, picture.shape[2]))


def _heat(case: Case, source: Path) -> bytes:
    """Return uncertainty as 0 to 255: of 0 to 1 where it lies there, else of its own highest value."""
    values = read_image(source).array[0]
    if values.shape != tuple(case.shape):
        raise DataError(
            f"case {case.id}: the uncertainty has the shape {values.shape}; expected {case.shape}"
        )
    highest = max(1.0, float(values.max()))
    return np.rint(np.clip(values, 0, None) * (255 / highest)).astype(np.uint8).tobytes(order="F")
