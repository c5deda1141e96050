"""Where pictures come from, what a picture is, and what is said about a bad one."""

import io
import os
import random
import shutil
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from networks import refused
from PIL import Image, ImageOps
from test_fetch import bomb
from torch.utils.data import ConcatDataset, Subset, TensorDataset
from torchvision.datasets import ImageFolder

from fgsm_lib import InputError
from fgsm_lib.classes import class_list, imagenet_classes, own_names
from fgsm_lib.datasets import demo_toys, nips2017, photographs, pictures_from
from fgsm_lib.pictures import open_picture

NAMES = ["cat", "dog", "crane", "crane"]
RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def encoded(image, kind="PNG", **options) -> bytes:
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, kind, **options)
    return file.getvalue()


def wide_webp() -> bytes:
    """An animated WebP whose header says that it is 12,582,920 pixels wide: 40 s to decode."""
    frames = [Image.fromarray(np.roll(RGB, 1)), Image.fromarray(RGB)]
    file = bytearray(encoded(frames[1], "WEBP", save_all=True, append_images=frames))
    place = file.index(b"VP8X") + 12  # its size less one, in 24 bits
    file[place : place + 3] = (12_582_920 - 1).to_bytes(3, "little")
    return bytes(file)


def pixels(source) -> np.ndarray:
    image = open_picture(source)
    assert image.mode == "RGB"
    return np.asarray(image)


# --- one picture --------------------------------------------------------------------------------

MODES = {
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA"],
    "JPEG": ["L", "RGB", "CMYK", "YCbCr"],
    "WEBP": ["RGB", "RGBA"],
    "TIFF": ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "LAB", "YCbCr"],
    "GIF": ["L", "P", "RGB", "RGBA"],
    "BMP": ["1", "L", "P", "RGB"],
    None: ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV"],
}


KINDS = [(kind, mode) for kind, modes in MODES.items() for mode in modes]


def picture(kind: str | None, mode: str, orientation: int = 6):
    """A picture of some kind and mode: a file, or in memory where ``kind`` is None."""
    rgba, exif = Image.fromarray(np.dstack([RGB, RGB[..., :1]])), Image.Exif()
    exif[0x0112] = orientation
    if mode in ("P", "PA"):
        image = rgba.convert("RGB").quantize(64).convert(mode)
    elif mode == "LAB":
        image = Image.merge("LAB", rgba.split()[:3])
    else:
        image = (rgba if mode in ("RGBA", "LA") else rgba.convert("RGB")).convert(mode)
    options = {"exif": exif} if kind in ("PNG", "JPEG", "WEBP", "TIFF") else {}
    return encoded(image, kind, **options) if kind else image


@pytest.mark.parametrize(("kind", "mode"), KINDS)
@pytest.mark.parametrize("orientation", [*range(1, 10)])
def test_a_picture_is_what_pillow_shows_upright_on_white(kind, mode, orientation):
    source = picture(kind, mode, orientation)
    image = Image.open(io.BytesIO(source)) if isinstance(source, bytes) else source
    image = ImageOps.exif_transpose(image)
    white = Image.new("RGB", image.size, "white")
    rgba = image.convert("RGBA")
    white.paste(rgba, mask=rgba.getchannel("A"))
    expected = white if image.has_transparency_data else image.convert("RGB")
    np.testing.assert_array_equal(pixels(source), np.asarray(expected))


def test_a_photograph_of_a_phone_stands_upright():
    """Stored with its top at the right, as orientation 6 says; its left half is red."""
    stored = np.zeros((40, 80, 3), np.uint8)
    stored[20:, :, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    found = pixels(encoded(stored, "JPEG", exif=exif, quality=95)).astype(int)
    assert found.shape == (80, 40, 3)
    assert found[:, :18, 0].min() > 200 > 50 > found[:, 22:, 0].max()


def test_what_is_transparent_is_white():
    array = np.zeros((2, 2, 4), np.uint8)
    array[..., 1] = 255
    array[0, 0, 3] = 255
    assert pixels(encoded(array)).tolist() == [[[0, 255, 0], [255] * 3], [[255] * 3] * 2]
    assert pixels(encoded(RGB, transparency=tuple(RGB[0, 0].tolist())))[0, 0].tolist() == [255] * 3


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_rounded(kind):
    deep = np.array([[0, 128, 129, 257, 300, 32768, 65406, 65407, 65535]], np.uint16)
    found = pixels(encoded(deep, kind))
    np.testing.assert_array_equal(found[..., 0], np.rint(deep / 257))
    assert pixels(encoded(deep, transparency=300))[0, 4, 0] == 255


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_pillow_s_limit_decides_what_is_too_large(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", RGB[..., 0].size - 1)  # it refuses from twice
    np.testing.assert_array_equal(pixels(encoded(RGB)), RGB)
    assert "96 pixels" in refused(open_picture, encoded(np.vstack([RGB, RGB])))


def test_arrays_and_tensors_are_pictures_too():
    scaled = RGB / np.float64(255)
    chw = torch.tensor(RGB).permute(2, 0, 1)
    same = [RGB, scaled, scaled.astype(np.float32), chw, chw.double() / 255, Image.fromarray(RGB)]
    for source in [*same, encoded(RGB), io.BytesIO(encoded(RGB)), lambda: RGB]:
        np.testing.assert_array_equal(pixels(source), RGB)
    for gray in (RGB[..., :1], RGB[..., 0], chw[:1], chw[0], chw[0].bfloat16() / 255):
        assert abs(pixels(gray).astype(int) - RGB[..., :1]).max() <= 1
    assert pixels(np.dstack([RGB, RGB[..., :1] * 0])).min() == 255
    assert (chw.permute(1, 2, 0).numpy() == RGB).all()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (b"", "not a picture; expected PNG, JPEG, BMP, GIF, TIFF or WebP"),
        (b"<html>404 Not Found</html>", "not a picture"),
        (encoded(RGB)[:90], "not a readable picture"),
        (encoded(RGB, "JPEG")[:-30], "not a readable picture (image file is truncated"),
        (bomb(60_000), "not a readable picture (Image size (3600000000 pixels) exceeds limit"),
        (wide_webp(), "has 12582920 × 6 pixels; expected from 1 to 65,535 on a side"),
        (encoded(Image.new("I", (2, 2)), "TIFF"), "holds 32 bits a pixel; expected 8 or 16"),
        (RGB.astype(np.int64), "holds int64; expected uint8, or floats in [0, 1]"),
        (RGB.astype(np.float32), "has values from 0 to 249; expected [0, 1], before any normal"),
        (np.full((2, 2), np.nan), "has values from nan to nan"),
        (torch.zeros(1, 3, 4, 4), "has shape (1, 3, 4, 4); expected an array (height, width"),
        (torch.zeros(8, 8, 3), "has shape (8, 8, 3)"),
        (np.zeros((0, 4, 3)), "has shape (0, 4, 3)"),
        (7.5, "is a float; expected a path, bytes, a PIL image, an array or a tensor"),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_named(source, expected):
    assert refused(open_picture, source, "scan 7").startswith(f"scan 7: {expected}")


def test_a_path_that_leads_to_no_picture_is_named(tmp_path):
    (tmp_path / "x.png").mkdir()
    for name, said in {"x.png": "is a folder", "no.png": "no such file", "a\0": "no such"}.items():
        assert refused(open_picture, tmp_path / name).startswith(f"{tmp_path / name}: {said}")


def picture_files() -> list[bytes]:
    """A file of each kind and mode, moving ones, and some that are packed in another way."""
    rgb, other = Image.fromarray(RGB), Image.fromarray(np.roll(RGB, 1))
    files = [bomb(2_000), encoded(RGB.astype(np.uint16)[..., 0]), encoded(rgb, icc_profile=b"no")]
    files += [picture(kind, mode) for kind, mode in KINDS if kind]
    for kind in ("GIF", "PNG", "WEBP", "TIFF"):
        files.append(encoded(rgb, kind, save_all=True, append_images=[other, rgb]))
    files += [encoded(rgb, "TIFF", compression=c) for c in ("tiff_lzw", "jpeg", "packbits")]
    return files


def mutated(dice: random.Random, content: bytes) -> bytes:
    """A file cut off, with bytes changed, or with others in front."""
    data = bytearray(content)
    how = dice.randrange(4)
    if how == 3:
        return dice.randbytes(9) + data
    for _ in range(dice.randint(1, 6) if how < 2 else 0):
        data[dice.randrange(min(len(data), 400))] = dice.randrange(256)
    return bytes(data[: dice.randrange(len(data))] if how else data)


@pytest.mark.filterwarnings("ignore")
def test_whatever_the_bytes_the_answer_is_a_picture_or_a_sentence():
    dice, found = random.Random(0), {True: 0, False: 0}
    for content in picture_files() * 50:
        try:
            found[open_picture(mutated(dice, content)).mode == "RGB"] += 1
        except InputError as error:
            found[False] += 1
            assert "\n" not in str(error) and len(str(error)) < 300
    assert min(found.values()) > 200


# --- classes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["a", "b"], ["a", "b"]),
        (("a", "a", "b"), ["a", "a", "b"]),
        ([0, 1, 2], ["0", "1", "2"]),
        (np.array(["a", "b"]), ["a", "b"]),
        ({1: "b", 0: "a"}, ["a", "b"]),
        ({"dog": 1, "cat": 0}, ["cat", "dog"]),
        ({"dog": np.int64(1), "cat": 0}, ["cat", "dog"]),
        (None, None),
    ],
)
def test_class_names_stand_in_the_order_of_the_logits(given, names):
    assert class_list(given) == names


ORDER = "; expected a list of names in the order of the logits, or a dictionary"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["cat"], "holds 1 names; expected at least two: with a single class there is nothing"),
        ({}, "holds 0 names"),
        *((given, f"class_names is {given}{ORDER}") for given in (
            "cat", 2, ["cat", None], ["cat", 1.5], {0: "cat", 2: "dog"}, {1: "cat", 2: "dog"},
            {"cat": 0, "dog": 0}, {0: 1, 1: 0}, {"cat": 0.0, "dog": 1.0}, {-1: "cat", 0: "dog"},
            {"cat": "a", "dog": "b"}, {"cat": [0], "dog": [1]},
        )),
    ],
)  # fmt: skip
def test_class_names_that_do_not_say_which_is_which_are_refused(given, expected):
    assert expected in refused(class_list, given)


TEXTS = sorted(map(str, range(12)))  # 0, 1, 10, 11, 2, …: the order of ImageFolder


@pytest.mark.parametrize(
    ("given", "names", "labels"),
    [
        (["cat", "1", 0, np.int64(1)], ["cat", "dog"], [0, 1, 0, 1]),
        ([0, "dog"], {"cat": 0, "dog": 1}, [0, 1]),
        (["1", 0, 9], [str(number) for number in range(10)], [1, 0, 9]),  # as the digits are
        ([1, "2"], {"1": 0, "2": 1, "3": 2}, [0, 1]),
        ([0, 1, 2, 10], {name: n for n, name in enumerate(TEXTS)}, [0, 1, 4, 2]),
        (["Cafe\u0301"], ["tea", "Caf\u00e9"], [1]),  # as a Mac writes a folder's name
        (["Caf\u00e9"], ["tea", "Cafe\u0301"], [1]),
        ([torch.tensor(3), np.array([1])], NAMES, [3, 1]),
        (["cow"], NAMES, "'cow' is the name or number of no classes; expected a class name, or a"),
        ([4], NAMES, "4 is the name or number of no classes; expected a class name, or a number "
         "from 0 to 3"),
        ([-1], NAMES, "-1 is the name or number of no classes"),
        ([1.0], NAMES, "1.0 is the name or number of no classes"),
        ([None], NAMES, "None is the name or number of no classes"),
        (["٣"], NAMES, "'٣' is the name or number of no classes"),
        (["crane"], NAMES, "'crane' is the name or number of 2 classes"),
        (["1"], ["1", "2", "3"], "'1' is the name or number of 2 classes; expected a class name, "
         "or a number from 0 to 2; where a name is another's number, class_names as a dictionary"),
        ([2], TEXTS, "2 is the name or number of 2 classes"),
        (["cat"], None, "class_names is None; expected one name per class"),
    ],
)  # fmt: skip
def test_what_is_a_name_and_what_a_number(given, names, labels):
    pairs = [(RGB, label) for label in given]
    if isinstance(labels, str):
        assert labels in refused(pictures_from, pairs, names)
    else:
        assert pictures_from(pairs, names).labels() == labels


class Own(list):
    """A torch Dataset of one picture of each class, which says its own classes."""

    def __init__(self, classes, target_transform=None):
        super().__init__((RGB, label) for label in range(len(classes)))
        self.classes, self.target_transform = classes, target_transform


IMAGENET = imagenet_classes()


@pytest.mark.parametrize("around", [Own, lambda own: Subset(Own(own), range(len(own)))])
@pytest.mark.parametrize(
    ("own", "names", "labels"),
    [
        (["ant", "cat"], ["ant", "bee", "cat"], [0, 2]),
        (["ant", "bee", "cat"], ["cat", "bee", "ant"], [2, 1, 0]),
        (["Cafe\u0301", "tea"], ["tea", "Caf\u00e9"], [1, 0]),
        (TEXTS, [str(number) for number in range(12)], [0, 1, 10, 11, *range(2, 10)]),
        (TEXTS, TEXTS, [*range(12)]),
        (["tench", "goldfish"], IMAGENET, [0, 1]),
        (NAMES, NAMES, [0, 1, 2, 3]),
        (["dog", "cat"], None, [0, 1]),
        (["ant", "bee", "cow"], ["ant", "bee", "cat"], None),
        (["Ant", "Bee"], ["bee", "ant"], None),
        (["n01440764", "n02102040"], ["tench", "springer"], None),  # who knows?
        (["crane", "cat", "dog", "crane"], NAMES, None),
    ],
)
def test_the_numbers_of_a_set_count_through_its_own_classes(around, own, names, labels):
    if labels is None:
        message = refused(pictures_from, around(own), names)
        assert f"in all), and the set's own classes are {str(own)[:20]}" in message
    else:
        pictures = pictures_from(around(own), names)
        names = class_list(names or own)
        assert (pictures.labels(), pictures.class_names) == (labels, names)
        assert [row.class_name for row in pictures] == [names[label] for label in labels]


def test_a_set_s_own_classes_are_found():
    assert own_names(Own([("tench", "Tinca tinca"), ("hen",)])) == ["tench, Tinca tinca", "hen"]
    assert own_names(Own(np.array(["a", "b"]))) == ["a", "b"]
    for source in ("folder", pd.DataFrame({"classes": ["a", "b"]}), [(RGB, 0)], None):
        assert own_names(source) is None
    three = Own(["a", "b", "c"])
    three.classes = ["a", "b"]
    assert "item 2: 2 is the name or number of no" in refused(pictures_from, three, ["b", "a"])


def test_classes_count_where_nothing_may_transform_the_labels(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "1.png")
    plain = ImageFolder(tmp_path)
    swapped = ImageFolder(tmp_path, target_transform=lambda label: 1 - label)
    for dataset in (plain, Subset(plain, [0, 1]), ConcatDataset([plain] * 2), swapped,
                    Subset(swapped, [0, 1])):  # fmt: skip
        assert pictures_from(dataset, ["dog", "cat"]).labels()[:2] == [1, 0]


# --- one's own pictures -------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path):
    """Two cats, a dog and a machine with the number of its class; each of one gray."""
    folder = tmp_path / "own"
    grays = {"cat/b.jpg": 20, "cat/a.png": 10, "dog/a.PNG": 30, "3/z.webp": 40}
    for name, gray in grays.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 24), (gray,) * 3).save(path, quality=100)
    for hidden in (".DS_Store", "cat/._0.png", ".ipynb_checkpoints/a.png"):
        (folder / hidden).parent.mkdir(exist_ok=True)
        (folder / hidden).write_text("")
    return folder


def rows(pictures):
    return [(row.name, row.label, row.class_name) for row in pictures]


OWN = [("3/z.webp", 3, "crane"), ("cat/a.png", 0, "cat"), ("cat/b.jpg", 0, "cat"),
       ("dog/a.PNG", 1, "dog")]  # fmt: skip


def test_subfolders_are_classes_by_name_or_number(own):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # hidden files are skipped without a word
        pictures = pictures_from(str(own), NAMES)
    assert rows(pictures) == OWN
    assert pictures.samples == [0, 1, 2, 3] and pictures.labels() == [3, 0, 0, 1]
    assert pictures.read(np.int64(1)).getpixel((0, 0)) == (10, 10, 10)
    assert (pictures.every(2).samples, pictures.subset([3, 1]).labels()) == ([0, 2], [0, 1])
    for sample in (4, "0", None, [0], True):
        said = f"there is no sample {sample}; expected one of 0, 1, 2, … 3 (4 in all)"
        assert said in refused(pictures.read, sample)


def test_files_and_folders_that_are_left_out_are_named(own):
    for name in ("stray.png", "cat/c.heic", "cat/deep/a.png"):
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_text("")
    with pytest.warns(UserWarning, match=r"left out 3 files: cat/c\.heic, cat/deep, stray\.png"):
        pictures = pictures_from(own, NAMES)
    assert rows(pictures) == OWN
    assert pictures.left_out == ["cat/c.heic", "cat/deep", "stray.png"]


def test_what_is_no_set_of_pictures_is_named(own):
    for name in ("own/cat", "nothing", "own/cat/a.png", "a" * 5000, "a\0"):
        message = refused(pictures_from, own.parent / name, NAMES)
        assert message.startswith(str(own.parent / name)[:700]) and "or a CSV file." in message
    for source in (7, None, {"a": 1}, iter([]), {1, 2}, torch.tensor(1)):
        assert "expected a folder, a CSV file, a data frame or" in refused(pictures_from, source)
    pictures = pictures_from(own, NAMES)
    assert pictures_from(pictures, tuple(NAMES)) is pictures_from(pictures) is pictures
    assert "class_names are others than" in refused(pictures_from, pictures, NAMES[::-1])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("label,path,note\ndog,dog/a.PNG,x\n0,cat/a.png,\ncat,cat/b.jpg,\n", None),
        ("\ufeffpath,label\ndog/a.PNG,dog\ncat/a.png,0\ncat/b.jpg,cat\n", None),
        ("", "not a CSV file in UTF-8 (No columns"),
        ("path,label\n", "no rows"),
        ("file,label\ncat/a.png,cat\n", "expected one column 'path'; found file, label"),
        ("path,label\ncat/a.png\n", "cat/a.png: '' is the name or number of no classes"),
        ("path,label\ncat/a.png,cat,\n", "row 1 has more fields than the header, 2"),
        ("path,label\n,cat\n", "row 1 has path ''; expected a file below"),
        ("path,label\n../out.png,cat\n", "row 1 has path '../out.png'"),
        ("path,label\nlink.png,cat\n", "row 1 has path 'link.png'"),
        ("path,label\ncat/a.png,cat\ncat/none.png,cat\n", "row 2 has path 'cat/none.png'"),
        ("path,label\ncat/a.png,cow\n", "cat/a.png: 'cow' is the name or number of no classes"),
        ('path,label\n"cat/a.png,cat\n', "not a CSV file in UTF-8"),
    ],
)
def test_a_csv_file_lists_pictures_below_its_folder(own, text, expected):
    table = own / "list.csv"
    table.write_text(text, encoding="utf-8")
    (own.parent / "out.png").write_bytes(encoded(RGB))
    (own / "link.png").symlink_to(own.parent / "out.png")
    if expected is None:
        order = [("dog/a.PNG", 1, "dog"), ("cat/a.png", 0, "cat"), ("cat/b.jpg", 0, "cat")]
        assert rows(pictures_from(table, NAMES)) == order
    else:
        message = refused(pictures_from, table, NAMES)
        assert message.startswith(str(table)) and expected in message


def test_a_data_frame_lists_paths(own, monkeypatch):
    monkeypatch.chdir(own)
    frame = pd.DataFrame({"path": [own / "dog/a.PNG", "cat/a.png"], "label": ["dog", 0]}, [7, 7])
    pictures = pictures_from(frame, NAMES)
    assert [(row.sample, row.label) for row in pictures] == [(0, 1), (1, 0)]
    monkeypatch.chdir("/")
    assert pictures.read(1).getpixel((0, 0)) == (10, 10, 10)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"path": [], "label": []}, "no rows; expected at least one"),
        ({"file": ["a"], 3: [0]}, "expected one column 'path'; found file, 3"),
        (pd.DataFrame([["a", 0, 1]], columns=["path", "label", "label"]),
         "expected one column 'label'; found path, label, label"),
        ({"path": ["no.png"], "label": [0]}, "row 1 has path 'no.png'; expected an existing file"),
        ({"path": [np.nan], "label": [0]}, "row 1 has path nan; expected"),
        ({"path": ["a" * 5000], "label": [0]}, "row 1 has path 'aaa"),
    ],
)  # fmt: skip
def test_a_data_frame_that_is_not_as_expected_is_named(columns, expected):
    message = refused(pictures_from, pd.DataFrame(columns), NAMES)
    assert message.startswith(f"the data frame: {expected}")


def test_a_torch_dataset_is_read_again_when_it_is_needed():
    chw = torch.tensor(RGB).permute(2, 0, 1)[None].repeat(3, 1, 1, 1) / 255
    tensors = TensorDataset(chw, torch.tensor([2, 0, 1], dtype=torch.int32))
    pictures = pictures_from(tensors, NAMES)
    assert pictures.labels() == [2, 0, 1]
    np.testing.assert_array_equal(np.asarray(pictures.read(2)), RGB)
    assert pictures.sha256() == pictures_from(list(tensors), NAMES).sha256()
    chw[2] = 0
    said = "sample 2 (item 2): the picture has changed since the pictures were opened"
    assert said in refused(pictures.read, 2)


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ([], "the data set is empty"),
        ([RGB], "item 0 of the data set is a ndarray; expected (picture, label)"),
        ([(RGB / 64, 0)], "sample 0 (item 0): has values from"),
    ],
)
def test_a_dataset_that_is_not_as_expected_is_named(dataset, expected):
    assert expected in refused(lambda: pictures_from(dataset, NAMES).sha256())


def test_a_fault_of_a_dataset_s_own_code_is_told_as_it_is():
    class Faulty(list):
        def __getitem__(self, index):
            raise TypeError("a transform that is none")

    with pytest.raises(TypeError, match="a transform that is none"):
        pictures_from(Faulty([0]), NAMES)


# --- the photographs, and what is shipped -------------------------------------------------------


@pytest.fixture
def nips(tmp_path):
    """Four photographs of ten classes, with everything that the tables can say of them."""
    (tmp_path / "images").mkdir()
    lines = ["ImageId,TrueLabel,OriginalLandingURL,License,Author"]
    for number, label in enumerate([1, 8, 5, 2]):
        (tmp_path / "images" / f"p{number}.png").write_bytes(encoded(RGB + number))
        link = "https://creativecommons.org/licenses/by/2.0/"
        author = r"Andr\303\251 O&#x27;Neil"
        lines.append(f"p{number},{label},https://example.org/{number},{link},{author}")
    (tmp_path / "dev_dataset.csv").write_text("\ufeff" + "\n".join(lines), "utf-8")
    names = "\n".join(f'{number},"class {number}, NA"' for number in range(1, 11))
    (tmp_path / "categories.csv").write_text(f"CategoryId,CategoryName\n{names}\n")
    return tmp_path


def test_labels_count_from_1_on_disk_and_from_0_in_memory(nips):
    pictures = pictures_from(nips)
    assert (pictures.labels(), pictures.title) == ([0, 7, 4, 1], "photographs")
    photo = pictures.picture(1)
    assert (photo.name, photo.class_name) == ("p1", "class 8, NA")
    assert (photo.author, photo.license) == ("André O'Neil", "CC BY 2.0")
    assert photo.license_url == "https://creativecommons.org/licenses/by/2.0/"
    assert photo.page_url == "https://example.org/1"
    assert pictures_from(nips, {n: f"c{n}" for n in range(8)}).picture(1).class_name == "c7"
    (nips / "categories.csv").unlink()
    assert nips2017(nips).picture(0).class_name == "tench"


def test_a_set_with_gaps_keeps_the_numbers_of_the_table(nips):
    for number in (0, 2):
        (nips / "images" / f"p{number}.png").unlink()
    (nips / "images" / "stray.gif").write_text("")
    with pytest.warns(UserWarning, match=r"left out 3 files: p0\.png \(absent\), p2"):
        pictures = nips2017(nips)
    assert pictures.samples == [1, 3] and pictures.every(3).samples == [3]
    assert "there is no sample 0; expected one of 1, 3." in refused(pictures.picture, 0)


TABLE, CATEGORIES = "dev_dataset.csv", "categories.csv"


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        *((TABLE, "p1,8", f"p1,{bad}", f"row 2 has TrueLabel {bad!r}; expected a number from 1")
          for bad in ("0", "11", "1.0", "cat", "", "9999999999", " 1", "８")),
        *((TABLE, "p1,", f"{bad},", f"row 2 has ImageId {bad!r}; expected letters, digits")
          for bad in ("../p1", "/etc/passwd", r"..\p1", "..", ".hidden", "C:x", "")),
        (TABLE, "p1,", "p0,", "an ImageId occurs twice"),
        (TABLE, "TrueLabel", "Label", "expected one column 'TrueLabel'; found ImageId, Label"),
        (TABLE, "p1,8,", "p1,8,,", "not a CSV file in UTF-8"),
        (TABLE, "p1,8", 'p1,"8', "not a CSV file in UTF-8"),
        (TABLE, "p1,8", "p1,8\udcff", "not a CSV file in UTF-8"),
        (CATEGORIES, "CategoryId", "Id", "expected one column 'CategoryId'"),
        (CATEGORIES, "\n2,", "\n3,", "expected each CategoryId from 1 to 10, in this order"),
        (CATEGORIES, '"class 1, NA"', "class 1, NA", "not a CSV file in UTF-8 (row 1 has more"),
        (CATEGORIES, '"class 2, NA"', "class 2, NA", "not a CSV file in UTF-8"),
    ],
)  # fmt: skip
def test_a_table_that_is_not_as_expected_is_named(nips, file, old, new, expected):
    text = (nips / file).read_text("utf-8")
    assert old in text
    (nips / file).write_text(text.replace(old, new, 1), "utf-8", "surrogateescape")
    assert refused(nips2017, nips).startswith(f"{nips / file}: {expected}")


def test_files_that_are_not_there_are_named(nips):
    for path in (nips / "images").iterdir():
        path.unlink()
    assert "none of the 4 photographs of dev_dataset.csv is there" in refused(nips2017, nips)
    (nips / "images").rmdir()
    assert "images: No such file or directory" in refused(nips2017, nips)
    said = "dev_dataset.csv: No such file or directory; expected a CSV file."
    assert refused(nips2017, nips / "nowhere").endswith(said)


def test_the_fingerprint_covers_pictures_labels_and_names(nips):
    def changed(file, old, new):
        (nips / file).write_bytes((nips / file).read_bytes().replace(old, new, 1))
        return nips2017(nips).sha256()

    before = nips2017(nips).sha256()
    elsewhere = shutil.copytree(nips, nips / "elsewhere")
    assert nips2017(elsewhere).sha256() == before != nips2017(elsewhere).every(2).sha256()
    seen = {before, changed(TABLE, b"p1,8", b"p1,9"), changed(CATEGORIES, b"class 9", b"other")}
    (nips / "images" / "p1.png").write_bytes(encoded(RGB))
    assert len(seen | {nips2017(nips).sha256()}) == 4


def test_a_file_that_is_exchanged_is_not_read_under_the_old_fingerprint(nips):
    pictures, file = nips2017(nips), nips / "images" / "p1.png"
    before = file.stat()
    file.write_bytes(encoded(RGB))
    assert pictures.read(1).tobytes() == RGB.tobytes()  # not yet known by any fingerprint
    known = pictures.sha256()
    file.write_bytes(encoded(RGB))  # a copy of the same
    assert pictures.read(1).tobytes() == RGB.tobytes()
    file.write_bytes(encoded(RGB[::-1]))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert refused(pictures.read, 1).startswith(f"{file}: the picture has changed since")
    assert pictures.sha256() == known != nips2017(nips).sha256()
    file.unlink()
    assert f"{file}: not readable" in refused(pictures.read, 1)


def test_what_is_shipped_is_free_to_publish_and_labeled():
    assert len(set(imagenet_classes())) == 1000
    photos = photographs()
    expected = {"coffee": 967, "camera": 872, "rocket": 657, "chelsea": 285}
    assert {photo.name: photo.label for photo in photos} == expected
    for photo in photos:
        assert photo.license in ("CC0", "public domain") and photo.author
        assert photo.class_name == imagenet_classes()[photo.label]
        assert min(photos.read(photo.sample).size) >= 300
    toys = demo_toys()
    assert (len(toys), len({toy.name for toy in toys})) == (1000, 1000)
    assert toys.read(999).size == (256, 256)
