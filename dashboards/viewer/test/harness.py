"""A small server with the viewer's routes and one phantom, to drive the built viewer without Streamlit.

python dashboards/viewer/test/harness.py --size 512 512 300 --port 8600
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from isal import igzip
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

HERE = Path(__file__).parent
DIST = HERE.parent / "dist"
CASE = "0123456789abcdef"
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'"
AXES = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
COLOURS = {"Liver": "#e6504b", "Spleen": "#4b9be6", "Tumour": "#e6c84b"}

Array = NDArray[Any]


def phantom(size: tuple[int, int, int]) -> tuple[Array, Array]:
    """Return a body of ellipsoids in HU (int16) and the labels of three of them (uint8), both (X, Y, Z)."""
    x, y, z = (np.linspace(-1, 1, n, dtype=np.float32) for n in size)
    x, y, z = x[:, None, None], y[None, :, None], z[None, None, :]
    noise = np.random.default_rng(0).normal(0, 12, size).astype(np.int16)
    image = np.full(size, -1000, np.int16)
    image[np.broadcast_to((x / 0.9) ** 2 + (y / 0.7) ** 2 < 1, size)] = 40
    labels = np.zeros(size, np.uint8)
    organs = (  # centre, radii (parts of the half edges), HU
        ((0.35, 0.1, 0.0), (0.4, 0.35, 0.55), 110),
        ((-0.4, 0.0, 0.1), (0.2, 0.25, 0.4), 75),
        ((0.4, 0.1, 0.1), (0.1, 0.1, 0.15), 20),
    )
    for label, (centre, radii, value) in enumerate(organs, 1):
        inside = sum(((axis - c) / r) ** 2 for axis, c, r in zip((x, y, z), centre, radii, strict=True)) < 1
        image[inside], labels[inside] = value, label
    image[np.broadcast_to((x / 0.1) ** 2 + ((y + 0.45) / 0.1) ** 2 < 1, size)] = 700
    return np.clip(image + noise, -1024, 3000).astype(np.int16), labels


class Desk:
    """The phantom, its versions and its strokes."""

    def __init__(self, size: tuple[int, int, int], axes: str, dtype: str, flat: bool) -> None:
        """Make the voxels and pack the slabs."""
        self.size, self.flat = size, flat
        image, labels = phantom(size)
        self.channels = [image]
        if flat:
            grey = np.clip((image + 200) / 3, 0, 255).astype(np.uint8)
            self.channels = [grey, np.roll(grey, 9, 0), np.roll(grey, 9, 1)]
        model = labels.copy()
        model[labels == 3] = 1
        self.masks = [np.asfortranarray(model, dtype), np.asfortranarray(labels, dtype)]
        self.shas = [sha(mask) for mask in self.masks]
        self.spacing = (1.0, 1.0, 1.0) if flat else (0.8, 0.8, 1.25)
        self.affine = np.eye(4)
        if not flat:
            self.affine = np.zeros((4, 4))
            self.affine[3, 3] = 1
            for axis, letter in enumerate(axes):
                patient, sign = AXES[letter]
                self.affine[patient, axis] = sign * self.spacing[axis]
                self.affine[patient, 3] = -sign * self.spacing[axis] * size[axis] / 2
        self.thickness = min(size[2], max(1, 2**23 // (size[0] * size[1] * 2)))
        self.slabs = [self._slab(n) for n in range(-(-size[2] // self.thickness))]
        self.packed = [igzip.compress(mask.tobytes(order="F"), 1) for mask in self.masks]
        self.strokes: dict[tuple[int, int], bytes] = {}
        self.decisions: list[Any] = []
        self.comments: list[Any] = []
        self.holder: str | None = None

    def _slab(self, n: int) -> bytes:
        part = slice(n * self.thickness, (n + 1) * self.thickness)
        return igzip.compress(b"".join(channel[..., part].tobytes(order="F") for channel in self.channels), 1)

    def info(self) -> dict[str, Any]:
        """Return the case as the viewer opens it."""
        n, base = len(self.slabs), f"/api/v1/cases/{CASE}"
        window = [0, 255] if self.flat else [-160, 240]
        presets = (
            [("Whole range", 0, 255)]
            if self.flat
            else [("Soft tissue", -160, 240), ("Lung", -1350, 150), ("Bone", -500, 1300)]
        )
        return {
            "id": CASE,
            "title": "Phantom",
            "modality": "RGB" if self.flat else "CT",
            "synthetic": True,
            "dims": 2 if self.flat else 3,
            "shape": list(self.size),
            "spacing_mm": list(self.spacing),
            "affine": self.affine.tolist(),
            "channels": len(self.channels),
            "dtype": str(self.channels[0].dtype),
            "slope": 1.0,
            "intercept": 0.0,
            "instances": False,
            "rev": len(self.masks),
            "model_rev": 1,
            "state": "open",
            "window": {
                "default": window,
                "presets": [{"name": a, "low": b, "high": c} for a, b, c in presets],
            },
            "labels": [
                {"value": value, "name": name, "colour": colour}
                for value, (name, colour) in enumerate(COLOURS.items(), 1)
            ],
            "mask_sha256": self.shas[-1],
            "lease": None,
            "decisions": self.decisions,
            "comments": self.comments,
            "versions": [
                {"rev": n + 1, "author": who, "tool": who, "created": time.time(), "changed_voxels": 0}
                for n, who in enumerate(["model", *["reader"] * (len(self.masks) - 1)])
            ],
            "urls": {
                "image": f"{base}/image/x",
                "mask": f"{base}/mask",
                "uncertainty": None if self.flat else f"{base}/uncertainty",
            },
            "slabs": {"n": n, "thickness": self.thickness, "order": list(range(n))},
        }


def sha(mask: Array) -> str:
    """Return the hash of a mask's bytes, x fastest."""
    return hashlib.sha256(mask.ravel(order="F").data).hexdigest()


def packed(data: bytes, headers: dict[str, str] | None = None) -> Response:
    """Return gzip as the body that the browser unpacks."""
    return Response(data, headers={"Content-Encoding": "gzip", **(headers or {})})


class Answers:
    """What the routes say."""

    def __init__(self, desk: Desk) -> None:
        """Keep the desk."""
        self.desk = desk

    def get_mask(self, request: Request) -> Response:
        """Send a version of the mask."""
        n = int(request.query_params.get("rev", len(self.desk.masks))) - 1
        return packed(
            self.desk.packed[n],
            {"X-Rev": str(n + 1), "X-Dtype": str(self.desk.masks[n].dtype), "ETag": f'"{self.desk.shas[n]}"'},
        )

    async def put_mask(self, request: Request) -> Response:
        """Keep a new version; 412 where another one came first."""
        body = await request.body()
        if request.headers["if-match"] != f'"{len(self.desk.masks)}"':
            return JSONResponse(
                {"rev": len(self.desk.masks), "sha256": self.desk.shas[-1], "error": "conflict"}, 412
            )
        new = np.frombuffer(igzip.decompress(body), request.headers["x-dtype"]).reshape(
            self.desk.size, order="F"
        )
        changed = int((new != self.desk.masks[-1]).sum())
        if changed:
            self.desk.masks.append(new)
            self.desk.packed.append(body)
            self.desk.shas.append(sha(new))
        return JSONResponse(
            {"rev": len(self.desk.masks), "sha256": self.desk.shas[-1], "changed_voxels": changed}
        )

    async def strokes(self, request: Request) -> Response:
        """Keep or send strokes."""
        base = int(request.query_params["base"])
        if request.method == "POST":
            self.desk.strokes[base, int(request.query_params["seq"])] = await request.body()
            return JSONResponse({})
        kept = [
            base64.b64encode(body).decode() for (b, _), body in sorted(self.desk.strokes.items()) if b == base
        ]
        return JSONResponse({"base": base, "strokes": kept})

    async def lease(self, _: Request) -> Response:
        """Give the lease, or name who holds it."""
        if self.desk.holder is not None:
            return JSONResponse({"error": "held", "holder": self.desk.holder}, 423)
        return JSONResponse({"token": "token", "until": time.time() + 90})

    async def keep(self, request: Request) -> Response:
        """Keep a decision or a comment."""
        told = self.desk.decisions if request.url.path.endswith("decision") else self.desk.comments
        told.append(await request.json())
        return JSONResponse({})

    def static(self, request: Request) -> Response:
        """Send the page or the built viewer."""
        name = request.path_params["name"]
        found = [HERE / name]
        if "dist" in request.url.path:
            found = [*DIST.glob(name.replace(".", "-*.", 1)), DIST / name]
        file = next((path for path in found if path.exists()), None)
        if file is None:
            return Response(status_code=404)
        return FileResponse(file, headers={"Content-Security-Policy": POLICY})


def routes(desk: Desk) -> list[Route]:
    """Return the routes of the contract for one case."""
    answers = Answers(desk)
    heat = gzip.compress(np.linspace(0, 255, int(np.prod(desk.size)), dtype=np.uint8).tobytes(), 1)
    case = f"/api/v1/cases/{CASE}"
    return [
        Route("/api/v1/me", lambda _: JSONResponse({"user": "reader"})),
        Route(case, lambda _: JSONResponse(desk.info())),
        Route(f"{case}/image/x/{{n:int}}", lambda request: packed(desk.slabs[request.path_params["n"]])),
        Route(f"{case}/uncertainty", lambda _: packed(heat)),
        Route(f"{case}/mask", answers.get_mask),
        Route(f"{case}/mask", answers.put_mask, methods=["PUT"]),
        Route(f"{case}/strokes", answers.strokes, methods=["GET", "POST"]),
        Route(f"{case}/lease", answers.lease, methods=["POST"]),
        Route(f"{case}/decision", answers.keep, methods=["POST"]),
        Route(f"{case}/comments", answers.keep, methods=["POST"]),
        Route("/dist/{name}", answers.static),
        Route("/{name}", answers.static),
    ]


def main() -> None:
    """Serve one phantom on the loopback."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, nargs=3, default=(96, 80, 64))
    parser.add_argument("--axes", default="RAS")
    parser.add_argument("--dtype", default="uint8")
    parser.add_argument("--flat", action="store_true", help="a 2D colour picture")
    parser.add_argument("--port", type=int, default=8600)
    args = parser.parse_args()
    desk = Desk(tuple(args.size), args.axes, args.dtype, args.flat)
    uvicorn.run(Starlette(routes=routes(desk)), host="127.0.0.1", port=args.port, log_level="warning")


if __name__ == "__main__":
    main()
