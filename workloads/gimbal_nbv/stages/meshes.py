"""Stage `meshes`: the objects, cleaned and normalised, split by family.

Objects come from a folder of mesh files or are made. The split is by family, so that a held-out
score is about kinds of objects no policy has seen: the families of made objects are listed in
`gimbal_nbv.shapes`, a family of a folder is a sub-folder, or a single file where there are none.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gimbal.data.schema import BlockSchema, Column
from gimbal.data.stage import BadItem, DataStage, Item
from gimbal.errors import ConfigError
from gimbal.experiment.files import exists, is_file, storage_errors
from gimbal.experiment.paths import at_home
from gimbal.experiment.stage import StageInputs
from gimbal_nbv.config import DataSettings
from gimbal_vision.errors import VisionError

if TYPE_CHECKING:
    from gimbal_vision.meshes import Mesh

SCHEMA = BlockSchema.of(
    Column("object_id", "string", description="file relative to the folder, or family-seed"),
    Column("family", "string", description="objects of one family are never split"),
    Column("split", "string", description="train, test, or both of a single object"),
    Column("source", "string", description="folder or procedural"),
    Column("sha256", "string", description="of the vertices and faces"),
    Column("warnings", "string", description="what cleaning has to say"),
    Column("vertices", "float32", (None, 3), unit="bbox diagonal", frame="object"),
    Column("faces", "int32", (None, 3), description="counter-clockwise seen from outside"),
    Column("vertex_colors", "uint8", (None, 3), unit="sRGB", description="empty: none"),
    Column("uv", "float32", (None, 3, 2), description="of each face's corners; empty: none"),
    Column("texture_png", "bytes", description="empty: none"),
)


@dataclass(frozen=True, kw_only=True)
class MeshesStage(DataStage):
    """Loads or makes every object.

    Attributes:
        evaluate_only: Every object of the folder is held out.
    """

    libraries: ClassVar[tuple[str, ...]] = (*DataStage.libraries, "trimesh", "pillow")

    settings: DataSettings
    items_per_block: int = 8
    evaluate_only: bool = False

    @property
    def schema(self) -> BlockSchema:
        """One row an object."""
        return SCHEMA

    def external_files(self) -> Sequence[Path]:
        """The folder of meshes, or the single one, if given."""
        if self.settings.single is not None and not self.evaluate_only:
            path = single_file(self.settings.single)
            return (path,) if path else ()
        return (self.settings.meshes,) if self.settings.meshes else ()

    def items(self, inputs: StageInputs) -> Sequence[Item]:
        """One item an object."""
        if self.settings.single is not None and not self.evaluate_only:
            return [_single_item(self.settings.single)]
        if self.settings.meshes is None:
            return self._made_items()
        folder = self.settings.meshes.resolve()
        return self._folder_items(folder, _found(folder))

    def rows(self, item: Item, inputs: StageInputs) -> Iterable[Mapping[str, Any]]:
        """Load or make one object.

        Raises:
            BadItem: The file holds no usable mesh.
        """
        try:
            mesh = self._mesh(item)
        except VisionError as exc:
            raise BadItem(exc.message, exc.remedy) from exc
        yield mesh_row(mesh) | {
            "object_id": item["id"],
            "family": item["family"],
            "split": item["split"],
            "source": "folder" if "path" in item else "procedural",
        }

    def _mesh(self, item: Item) -> Mesh:
        from gimbal_nbv.shapes import make_shape
        from gimbal_vision.meshes import load_mesh, normalise

        if "path" in item:
            return normalise(load_mesh(item["path"]))
        return make_shape(item["family"], item["shape_seed"])

    def _made_items(self) -> list[Item]:
        from gimbal_nbv.shapes import shape_list

        counts = {"train": self.settings.train_shapes, "test": self.settings.test_shapes}
        return [
            {"id": ref.id, "family": ref.family, "split": split, "shape_seed": ref.seed}
            for split, count in counts.items()
            for ref in shape_list(split, count, self.seed)  # type: ignore[arg-type]
        ]

    def _folder_items(self, folder: Path, paths: Sequence[Path]) -> list[Item]:
        base = folder if folder.is_dir() else folder.parent
        ids = [path.relative_to(base).as_posix() for path in paths]
        if self.evaluate_only:
            held_out = set(ids)
            families = {name: _family(name) for name in ids}
        else:
            families = _families(ids)
            held_out = _held_out(families, self.settings.test_share, self.seed)
        return [
            {
                "id": name,
                "family": families[name],
                "split": "test" if name in held_out else "train",
                "path": str(path),
                "sha256": _hash(path),
            }
            for name, path in zip(ids, paths, strict=True)
        ]


def mesh_row(mesh: Mesh) -> dict[str, Any]:
    """Return the columns that hold a mesh."""
    vertices = np.ascontiguousarray(mesh.vertices, dtype=np.float32)
    digest = hashlib.sha256(vertices.tobytes() + mesh.faces.tobytes()).hexdigest()
    return {
        "sha256": digest,
        "warnings": "; ".join(mesh.report.warnings),
        "vertices": vertices,
        "faces": mesh.faces,
        "vertex_colors": _or_empty(mesh.vertex_colors, (0, 3), np.uint8),
        "uv": _or_empty(mesh.uv, (0, 3, 2), np.float32),
        "texture_png": b"" if mesh.texture is None else _png(mesh.texture),
    }


def row_mesh(row: Mapping[str, Any]) -> Mesh:
    """Rebuild the mesh of a row; the inverse of `mesh_row`."""
    from gimbal_vision.meshes import Mesh

    return Mesh(
        vertices=np.asarray(row["vertices"], dtype=np.float64),
        faces=np.asarray(row["faces"]),
        vertex_colors=np.asarray(row["vertex_colors"]) if len(row["vertex_colors"]) else None,
        uv=np.asarray(row["uv"]) if len(row["uv"]) else None,
        texture=_image(row["texture_png"]) if row["texture_png"] else None,
    )


def _hash(path: Path) -> str:
    """Return the hash of a file; nothing for a dangling link or a pipe, which loading refuses."""
    if not path.is_file():
        return ""
    with storage_errors(path, "read"):
        return hashlib.sha256(path.read_bytes()).hexdigest()


def single_file(single: str) -> Path | None:
    """Return the file that `data.single` names, or None where it names a made object."""
    path = at_home(Path(single))
    return path if path.suffix or exists(path) else None


def _single_item(single: str) -> Item:
    """Return the one object of `data.single`.

    Raises:
        ConfigError: It is neither a mesh file nor a made object.
    """
    from gimbal_nbv.shapes import TEST_FAMILIES, TRAIN_FAMILIES

    path = single_file(single)
    if path is not None:
        if not is_file(path):
            raise ConfigError(f"data.single: there is no file {path}", "name a mesh file")
        sha256 = _hash(path)
        split = {"split": "both", "path": str(path.resolve()), "sha256": sha256}
        return {"id": path.name, "family": path.stem, **split}
    family, _, number = single.rpartition("-")
    if family not in (*TRAIN_FAMILIES, *TEST_FAMILIES) or not number.isdecimal():
        raise ConfigError(
            f"data.single: {single!r} is neither a mesh file nor a made object",
            "write FAMILY-NUMBER such as mug-3, FAMILY one of: "
            + ", ".join(sorted((*TRAIN_FAMILIES, *TEST_FAMILIES))),
        )
    return {"id": single, "family": family, "split": "both", "shape_seed": int(number)}


def _found(folder: Path) -> list[Path]:
    from gimbal_vision.meshes import find_meshes

    try:
        return list(find_meshes(folder))
    except VisionError as exc:
        raise ConfigError(f"data.meshes: {exc.message}", exc.remedy) from exc


def _family(name: str) -> str:
    parts = name.split("/")
    return parts[0] if len(parts) > 1 else parts[0].rsplit(".", 1)[0]


def _families(ids: Sequence[str]) -> dict[str, str]:
    by_folder = {name: _family(name) for name in ids}
    if len(set(by_folder.values())) > 1:
        return by_folder
    return {name: name for name in ids}


def _held_out(families: Mapping[str, str], share: float, seed: int) -> set[str]:
    """Draw whole families until `share` of the objects is held out; both sides get one at least."""
    names = sorted(set(families.values()))
    if len(names) < 2:
        raise ConfigError(
            "data.meshes holds a single mesh, so nothing is left to test on",
            "add meshes, or evaluate a trained policy on it: gimbal nbv evaluate --run RUN "
            "--meshes DIR",
        )
    order = np.random.default_rng(seed).permutation(len(names))
    wanted = share * len(families)
    held_out: set[str] = set()
    for rank, index in enumerate(order[:-1]):
        members = {name for name, family in families.items() if family == names[index]}
        if rank > 0 and len(held_out) + len(members) / 2 > wanted:
            break
        held_out |= members
    return held_out


def _or_empty(array: Any, shape: tuple[int, ...], dtype: type) -> Any:
    return np.zeros(shape, dtype) if array is None else array


def _png(image: np.ndarray[Any, Any]) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def _image(data: bytes) -> np.ndarray[Any, Any]:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
