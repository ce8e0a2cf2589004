"""Datasets in exactly the form in which they are published, with few images, and a server to fetch them from."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from scipy.io import savemat

from patchcert.datasets.sources import COLUMNS, UNPUBLISHED, Source, read_sources
from patchcert.provenance import file_digest

REGISTRY = Path(__file__).parents[1] / "config" / "sources.csv"


class Known(NamedTuple):
    """What a test knows of an image: its id, label or labels and part, the picture as published, and its objects' sizes."""

    image_id: str
    label: int | list[int]
    part: str
    picture: Image.Image
    sizes: list[float] | None = None
    boxes: list[tuple[int, int, int, int]] | None = None


def photograph(seed: int, height: int = 32, width: int = 32, mode: str = "RGB") -> Image.Image:
    """Coloured blotches, of which no two seeds share any."""
    blotches = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(blotches).resize((width, height), Image.Resampling.BILINEAR).convert(mode)


def jpeg(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=95)
    return stream.getvalue()


def decoded(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def cifar(archive: tarfile.TarFile, batches: dict[str, str], name: str, labels: tuple[str, int, int], each: int) -> list[Known]:
    """CIFAR: pickles of rows of 1,024 red, 1,024 green and 1,024 blue values, each batch of one part and with two labels."""
    key, *of = labels
    images: list[Known] = []
    for file, part in batches.items():
        start = sum(image.part == part for image in images)
        some = [
            Known(f"{name}-{part}-{number:05d}", of[number % 2], part, photograph(1000 * (part == "test") + number))
            for number in range(start, start + each)
        ]
        rows = np.stack([np.asarray(image.picture).transpose(2, 0, 1).ravel() for image in some])
        content = {"batch_label": file, "data": rows, key: [image.label for image in some], "filenames": ["a.png"] * each}
        add(archive, file, pickle.dumps(content, protocol=2))
        images += some
    return images


def cifar10(folder: Path) -> list[Known]:
    batches = {f"cifar-10-batches-py/data_batch_{number}": "train" for number in range(1, 6)}
    with tarfile.open(folder / "cifar-10-python.tar.gz", "w:gz") as archive:
        names = {"label_names": ["airplane", "automobile"], "num_cases_per_batch": 4, "num_vis": 3072}
        add(archive, "cifar-10-batches-py/batches.meta", pickle.dumps(names, protocol=2))
        add(archive, "cifar-10-batches-py/readme.html", b"<html>")
        return cifar(archive, batches | {"cifar-10-batches-py/test_batch": "test"}, "cifar10", ("labels", 3, 9), 6)


def cifar100(folder: Path) -> list[Known]:
    batches = {"cifar-100-python/train": "train", "cifar-100-python/test": "test"}
    with tarfile.open(folder / "cifar-100-python.tar.gz", "w:gz") as archive:
        names = {"fine_label_names": ["apple", "aquarium_fish"], "coarse_label_names": ["fish"]}
        add(archive, "cifar-100-python/meta", pickle.dumps(names, protocol=2))
        return cifar(archive, batches, "cifar100", ("fine_labels", 0, 99), 12)


def svhn(folder: Path) -> list[Known]:
    """SVHN: one array of 32 x 32 x 3 x N, and labels from 1 to 10, of which 10 is the digit 0."""
    images = []
    for part, count in (("train", 10), ("test", 6)):
        some = [photograph(1000 * (part == "test") + number) for number in range(count)]
        truth = np.array([[10, 4][number % 2] for number in range(count)], dtype=np.uint8)
        content = {"X": np.stack([np.asarray(picture) for picture in some], axis=-1), "y": truth[:, None]}
        savemat(folder / f"{part}_32x32.mat", content, do_compression=True)
        images += [Known(f"svhn-{part}-{number:05d}", int(truth[number]) % 10, part, some[number]) for number in range(count)]
    return images


def imagenette(folder: Path) -> list[Known]:
    """ImageNette: folders of parts and classes, in no order, with what macOS and the publisher left between them."""
    images = []
    with tarfile.open(folder / "imagenette2.tgz", "w:gz") as archive:
        for name in ("imagenette2", "imagenette2/val", "imagenette2/train"):
            directory = tarfile.TarInfo(name)
            directory.type = tarfile.DIRTYPE
            archive.addfile(directory)
        add(archive, "imagenette2/.DS_Store", b"\x00\x00\x00\x01Bud1")
        add(archive, "imagenette2/noisy_imagenette.csv", b"path,noisy_labels_0\n")
        for number in range(24):
            folder_name, part = [("val", "test"), ("train", "train"), ("train", "train"), ("train", "train")][number // 6]
            wnid, label = [("n03888257", 1), ("n01440764", 0)][number % 2]
            stem = f"ILSVRC2012_val_{number:08d}" if number % 3 == 0 else f"{wnid}_{number}"
            content = jpeg(photograph(number, 30 + number, 60 - number, "L" if number == 5 else "RGB"))
            add(archive, f"imagenette2/{folder_name}/{wnid}/{stem}.JPEG", content)
            images.append(Known(stem, label, part, decoded(content)))
    return images


CLASSES = {"n01440764": 3, "n01443537": 1, "n02119789": 2}
"""The development kit's numbers of three classes, which are not in the order of their WordNet ids."""


IMAGENET_BOXES = {
    0: [(0, 0, 29, 36)],
    1: [(10, 5, 40, 30), (30, 20, 50, 35), (2, 2, 4, 4)],
    2: [(-3, 30, 70, 99)],
}
"""Boxes of a validation image of 37x60 pixels by the remainder of its number, first column and row and last column and row, of
which some lie over one another or reach beyond the picture."""


def imagenet_boxes(stem: str, boxes: list[tuple[int, int, int, int]]) -> str:
    """An annotation as ImageNet's, whose file name has no ending."""
    objects = ""
    for left, top, right, bottom in boxes:
        sides = f"<xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax>"
        objects += f"<object><name>n01440764</name><difficult>0</difficult><bndbox>{sides}</bndbox></object>\n"
    size = "<size><width>60</width><height>37</height><depth>3</depth></size>"
    return f"<annotation><folder>val</folder><filename>{stem}</filename>{size}\n{objects}</annotation>\n"


def imagenet(folder: Path) -> list[Known]:
    """ImageNet: an archive of archives, a flat archive, the development kit, and boxes of the flat archive's images."""
    labels = {wnid: label for label, wnid in enumerate(sorted(CLASSES))}
    images = []
    with tarfile.open(folder / "ILSVRC2012_img_train.tar", "w") as archive:
        for wnid in reversed(CLASSES):
            stream = io.BytesIO()
            with tarfile.open(fileobj=stream, mode="w") as nested:
                for number in range(4):
                    content = jpeg(photograph(len(images), 40, 33, "CMYK" if number == 3 else "RGB"))
                    add(nested, f"{wnid}_{7 * number}.JPEG", content)
                    images.append(Known(f"{wnid}_{7 * number}", labels[wnid], "train", decoded(content)))
            add(archive, f"{wnid}.tar", stream.getvalue())
    truth = ["n02119789", "n01440764", "n01443537", "n01443537", "n01440764", "n02119789"]
    with tarfile.open(folder / "ILSVRC2012_img_val.tar", "w") as archive:
        for number in (2, 1, 3, 4, 5, 6):
            content = jpeg(photograph(100 + number, 37, 60))
            add(archive, f"ILSVRC2012_val_{number:08d}.JPEG", content)
            known = Known(f"ILSVRC2012_val_{number:08d}", labels[truth[number - 1]], "test", decoded(content))
            images.append(known._replace(boxes=IMAGENET_BOXES[number % 3]))
    with tarfile.open(folder / "ILSVRC2012_bbox_val_v3.tgz", "w:gz") as archive:
        directory = tarfile.TarInfo("val")
        directory.type = tarfile.DIRTYPE
        archive.addfile(directory)
        for image in images:
            if image.boxes:
                add(archive, f"val/{image.image_id}.xml", imagenet_boxes(image.image_id, image.boxes).encode())
    fields = ["ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children", "wordnet_height", "num_train_images"]
    synsets = [(number, wnid, "a, b", "a thing", 0, np.zeros(0), 0, 4) for wnid, number in CLASSES.items()]
    synsets = [*sorted(synsets), (4, "n00001740", "entity", "all of them", 3, np.array([1, 2, 3]), 1, 0)]
    meta = io.BytesIO()
    savemat(meta, {"synsets": np.array(synsets, dtype=[(field, object) for field in fields])[:, None]})
    with tarfile.open(folder / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as archive:
        add(archive, "ILSVRC2012_devkit_t12/readme.txt", b"ILSVRC2012\n")
        add(archive, "ILSVRC2012_devkit_t12/data/meta.mat", meta.getvalue())
        lines = "".join(f"{CLASSES[wnid]}\n" for wnid in truth)
        add(archive, "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", lines.encode())
    return images


COCO_CATEGORIES = {90: 2, 1: 0, 3: 1}
"""Labels of the categories by their ids, which are in no order and have gaps."""
COCO_OBJECTS = {
    0: [],
    1: [(3, 10, 6)],
    2: [(1, 4, 4), (1, 8, 5.5), (90, 3, 3), (1, 2, 2)],
    3: [(90, 20, 12.5)],
    4: [(3, 5, 5), (1, 6, 7)],
}
"""Objects of an image by the remainder of its number: category id, width and height."""


def coco2014(folder: Path) -> list[Known]:
    """MSCOCO: two archives of images, some without objects, and one of annotations, of which nothing is in the order of ids."""
    images: list[Known] = []
    with ZipFile(folder / "annotations_trainval2014.zip", "w", ZIP_DEFLATED) as annotations:
        for name, part, count in (("train2014", "train", 14), ("val2014", "test", 9)):
            listed, objects, some = [], [], []
            with ZipFile(folder / f"{name}.zip", "w") as archive:
                for number in range(count):
                    height, width = 30 + number, 60 - number
                    content = jpeg(photograph(1000 * (part == "test") + number, height, width, "L" if number == 6 else "RGB"))
                    image_id, sizes = 7 * (count - number), dict[int, float]()
                    stem = f"COCO_{name}_{image_id:012d}"
                    archive.writestr(f"{name}/{stem}.jpg", content)
                    listed.append({"id": image_id, "file_name": f"{stem}.jpg", "height": height, "width": width})
                    for place, (category, across, down) in enumerate(COCO_OBJECTS[number % 5]):
                        crowd, box = int(number % 5 == 3), [1.5, 2.25, across, down]
                        keys = {"id": 100 * image_id + place, "image_id": image_id, "category_id": category, "area": 1.5}
                        objects.append(keys | {"bbox": box, "iscrowd": crowd, "segmentation": []})
                        label = COCO_CATEGORIES[category]
                        sizes[label] = max(100 * across * down / (height * width), sizes.get(label, 0))
                    labels = sorted(sizes)
                    some.append(Known(stem, labels, part, decoded(content), [sizes[label] for label in labels]))
            categories = [{"id": number, "name": f"thing {number}"} for number in COCO_CATEGORIES]
            content = {"info": {}, "licenses": [], "images": listed, "annotations": objects, "categories": categories}
            annotations.writestr(f"annotations/instances_{name}.json", json.dumps(content))
            annotations.writestr(f"annotations/captions_{name}.json", json.dumps({"images": listed}))
            images += reversed(some)
    return images


VOC_OBJECTS = {
    0: [("person", 0, (1, 1, 10, 20)), ("aeroplane", 0, (3, 4, 12, 8)), ("person", 0, (5, 5, 7, 7))],
    1: [("tvmonitor", 1, (1, 1, 20, 20)), ("dog", 0, (2, 3, 6, 9)), ("dog", 1, (1, 1, 20, 20))],
    2: [("cat", 1, (1, 1, 20, 20))],
}
"""Objects of an image by the remainder of its number: class, whether it is difficult, and the first and last column and row."""
VOC_LABELS = {"aeroplane": 0, "dog": 11, "person": 14}


def voc_annotation(stem: str, picture: Image.Image, number: int) -> str:
    objects = ""
    for name, difficult, box in VOC_OBJECTS[number % 3]:
        sides = "".join(f"<{side}>{value}</{side}>" for side, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
        part = f"<part><name>head</name><bndbox>{sides}</bndbox></part>" if name == "person" else ""
        objects += f"<object><name>{name}</name><pose>Left</pose><truncated>0</truncated><difficult>{difficult}</difficult>"
        objects += f"<bndbox>{sides}</bndbox>{part}</object>\n"
    size = f"<size><width>{picture.width}</width><height>{picture.height}</height><depth>3</depth></size>"
    return f"<annotation>\n<folder>VOC2007</folder>\n<filename>{stem}.jpg</filename>\n{size}\n{objects}</annotation>\n"


def voc2007(folder: Path) -> list[Known]:
    """PASCAL VOC: an archive for each part, with lists, annotations in XML and images, some of which have no list."""
    images = []
    for file, listed, part, numbers in (
        ("VOCtrainval_06-Nov-2007.tar", "trainval", "train", range(5, 35, 2)),
        ("VOCtest_06-Nov-2007.tar", "test", "test", range(6, 26, 2)),
    ):
        stems = [f"{number:06d}" for number in numbers]
        with tarfile.open(folder / file, "w") as archive:
            for name in ("VOCdevkit", "VOCdevkit/VOC2007", "VOCdevkit/VOC2007/Annotations", "VOCdevkit/VOC2007/JPEGImages"):
                directory = tarfile.TarInfo(name)
                directory.type = tarfile.DIRTYPE
                archive.addfile(directory)
            for number, stem in zip(numbers, stems, strict=True):
                content = jpeg(photograph(number, 21 + number, 60 - number))
                picture = decoded(content)
                add(archive, f"VOCdevkit/VOC2007/Annotations/{stem}.xml", voc_annotation(stem, picture, number).encode())
                add(archive, f"VOCdevkit/VOC2007/JPEGImages/{stem}.jpg", content)
                sizes = {
                    VOC_LABELS[name]: 100 * (right - left + 1) * (bottom - top + 1) / (picture.width * picture.height)
                    for name, difficult, (left, top, right, bottom) in reversed(VOC_OBJECTS[number % 3])  # the first is largest
                    if not difficult
                }
                labels = sorted(sizes)
                images.append(Known(stem, labels, part, picture, [sizes[label] for label in labels]))
            add(archive, "VOCdevkit/VOC2007/JPEGImages/009999.jpg", b"not in any list")
            add(archive, f"VOCdevkit/VOC2007/ImageSets/Main/{listed}.txt", "".join(f"{stem}\n" for stem in stems).encode())
            add(archive, f"VOCdevkit/VOC2007/ImageSets/Main/cat_{listed}.txt", b"000005 -1\n")
            add(archive, f"VOCdevkit/VOC2007/ImageSets/Layout/{listed}.txt", b"000005\n")
    return images


DATASETS: dict[str, Callable[[Path], list[Known]]] = {
    "cifar10": cifar10,
    "cifar100": cifar100,
    "svhn": svhn,
    "imagenette": imagenette,
    "imagenet": imagenet,
    "coco2014": coco2014,
    "voc2007": voc2007,
}
"""What writes each dataset into a folder, and returns its images in the order of the index."""


def tresnet_checkpoint(path: Path, classes: int, seed: int = 0) -> torch.nn.Module:
    """A random TResNet-L, and its weights in the layout in which the authors of the Asymmetric Loss publish theirs.

    There a convolution and its normalisation are the places 0 and 1 of a list, within another where a blur follows, and the
    signs of the normalisation's weights mean nothing.
    """
    torch.manual_seed(seed)
    model = timm.create_model("tresnet_l", num_classes=classes)
    blurred = {"body.layer2.0.conv1", "body.layer3.0.conv2", "body.layer4.0.conv2"}
    weights = {}
    for name, value in model.state_dict().items():
        if name.endswith("bn.weight"):
            value.uniform_(0.5, 1.5)
        module, _, rest = name.rpartition(".conv.")
        module, rest = (module, f"0.{rest}") if module else (name.rpartition(".bn.")[0], f"1.{name.rpartition('.bn.')[2]}")
        published = f"{module}.{'0.' if module in blurred else ''}{rest}" if module else name
        if not name.endswith("num_batches_tracked"):
            weights[published] = -value if name.endswith("bn.weight") else value.clone()
    named = {label: f"thing {label}" for label in range(classes)}
    torch.save({"model": weights, "num_classes": classes, "idx_to_class": named}, path)
    return model


def timm_weights(path: Path, name: str, *, labels: int = 1000, seed: int = 0) -> torch.nn.Module:
    """A random model of timm, and its weights in the form in which timm publishes them."""
    torch.manual_seed(seed)
    model = timm.create_model(name, pretrained=False, num_classes=labels)
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.add_(0.001 * torch.randn(value.shape))  # constants, with which timm starts some layers, would look untouched
    save_file(model.state_dict(), path)
    return model


def publish(name: str, folder: Path, address: str) -> tuple[list[Source], list[Known]]:
    """Write a dataset where a server of ``folder`` at ``address`` finds it; its registry entries and its images."""
    entries = read_sources(REGISTRY)[name]
    place = folder / name / entries[0].version
    place.mkdir(parents=True)
    images = DATASETS[name](place)
    return [republished(entry, place / entry.file, address) for entry in entries], images


def publish_weights(entry: Source, folder: Path, address: str, write: Callable[[Path], object]) -> Source:
    """Write a checkpoint where a server of ``folder`` at ``address`` finds it; its registry entry."""
    path = folder / entry.name / entry.version / entry.file
    path.parent.mkdir(parents=True)
    write(path)
    return republished(entry, path, address)


def republished(entry: Source, path: Path, address: str) -> Source:
    """A registry entry with the digest, by the same algorithm, the size and, if it has one, the address of another file."""
    manual = entry.origin.startswith("manual:")
    return replace(
        entry,
        digest=entry.digest if entry.digest == UNPUBLISHED else file_digest(path, entry.digest.split(":")[0]),
        bytes=None if entry.bytes is None else path.stat().st_size,
        origin=entry.origin if manual else f"{address}/{entry.name}/{entry.version}/{entry.file}",
    )


def registry(entries: list[Source]) -> str:
    """The text of a registry."""
    rows = [[getattr(entry, column) for column in COLUMNS] for entry in entries]
    lines = [",".join(UNPUBLISHED if value is None else str(value) for value in row) for row in rows]
    return "\n".join([",".join(COLUMNS), *lines, ""])


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Nothing on stderr."""


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder over loopback HTTP; gives the address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
