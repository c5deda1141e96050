"""The pictures that need no download: photographs of scikit-image, generated toys of our own."""

import importlib.util
import json
from pathlib import Path

import pyarrow.parquet as pq

from fgsm_lib import InputError
from fgsm_lib.classes import imagenet_classes
from fgsm_lib.pictures import Picture, Pictures, one_line

CC0 = ("CC0", "https://creativecommons.org/publicdomain/zero/1.0/")
SPACEX = (
    "public domain",
    "https://arstechnica.com/tech-policy/2015/03/elon-musk-puts-spacex-photos-into-the-public-domain/",
)
# Name, file, ImageNet class, author, license: all that scikit-image's documentation declares free
# and that ImageNet has a class for. (It says nothing of the license of its motorcycle.)
PHOTOGRAPHS = (
    ("coffee", "coffee.png", "espresso", "Rachel Michetti", CC0),
    ("camera", "camera.png", "tripod", "Lav Varshney", CC0),
    ("rocket", "rocket.jpg", "missile", "SpaceX", SPACEX),
    ("chelsea", "chelsea.png", "Egyptian cat", "Stéfan van der Walt", CC0),
)


def photographs() -> Pictures:
    """Photographs that scikit-image ships and that may be published, with ImageNet's classes."""
    names = imagenet_classes()
    found = importlib.util.find_spec("skimage")  # to import it would take a second
    folder = Path(found.origin).parent / "data" if found else Path()
    rows = []
    for sample, (name, file, class_name, author, (license, license_url)) in enumerate(PHOTOGRAPHS):
        if not (folder / file).is_file():
            raise InputError(f"{folder / file}: no such file; expected scikit-image 0.25 or newer.")
        page = f"https://scikit-image.org/docs/stable/api/skimage.data.html#skimage.data.{name}"
        label = names.index(class_name)
        source = folder / file
        credit = (author, license, license_url, page)
        rows.append(Picture(sample, name, label, class_name, source, *credit))
    return Pictures("photographs", names, rows)


def demo_toys() -> Pictures:
    """The generated pictures of toys, which this library ships: 256 × 256, WebP."""
    path = Path(__file__).parent / "demo" / "toys.parquet"
    try:
        table = pq.read_table(path, columns=["image", "label", "name"])
        names = json.loads(table.schema.metadata[b"class_names"])
        columns = [table[column].to_pylist() for column in ("image", "label", "name")]
        rows = [
            Picture(sample, name, label, names[label], image)
            for sample, (image, label, name) in enumerate(zip(*columns, strict=True))
        ]
    except Exception as error:  # pyarrow raises whatever the damaged bytes provoke
        raise InputError(f"{path}: not the demo's pictures ({one_line(error)}).") from None
    return Pictures("generated pictures of toys", names, rows)
