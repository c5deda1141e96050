"""Data sets on disk: what is read, and what is said about a bad file."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fgsm_lib.datasets import PhotoDataset, decode_octal, read_class_names, read_rgb
from fgsm_lib.errors import InputError


def keep(image):
    return image


def rewrite(folder: Path, file: str, old: str, new: str) -> Path:
    """Change a text file of a data set, once."""
    path = folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return folder


def complaint(folder: Path) -> str:
    """The message about a bad data set: about its tables, or about its first image."""
    with pytest.raises(InputError) as caught:
        PhotoDataset(folder, keep)[0]
    return str(caught.value)


# --- what is read ------------------------------------------------------------------------------


def test_labels_count_from_1_on_disk_and_from_0_in_memory(photos):
    folder = photos(3)
    with (folder / "dev_dataset.csv").open() as stream:
        on_disk = [int(row["TrueLabel"]) for row in csv.DictReader(stream)]
    dataset = PhotoDataset(folder, keep)
    assert on_disk == [1, 8, 5]
    assert dataset.labels() == [0, 7, 4]
    assert [dataset[sample][1] for sample in range(len(dataset))] == [0, 7, 4]
    assert dataset.photo(1).class_name == dataset.class_names[7] == "class 7"


def test_samples_are_the_rows_in_their_order(photos):
    dataset = PhotoDataset(photos(12), keep)
    assert len(dataset) == 12
    assert [photo.sample for photo in dataset.photos] == list(range(12))
    assert dataset.photo(10).image_id == "photo10"


def test_images_go_through_to_pixels(photos, tiny):
    folder, classifier = photos(1), tiny()
    image, _ = PhotoDataset(folder, classifier.to_pixels)[0]
    array = np.asarray(Image.open(folder / "images" / "photo0.png"))
    assert image.shape == (3, 16, 16)
    np.testing.assert_array_equal((image * 255).round().numpy(), array.transpose(2, 0, 1))


def test_a_byte_order_mark_is_accepted(photos):
    folder = photos(2)
    for file in ("dev_dataset.csv", "categories.csv"):
        path = folder / file
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert PhotoDataset(folder, keep).labels() == [0, 7]


def test_a_class_name_may_look_like_a_missing_value(photos):
    folder = rewrite(photos(1), "categories.csv", "class 0", "NA")
    assert read_class_names(folder)[0] == "NA"


def test_optional_columns_are_read(photos):
    folder = photos(1)
    (folder / "dev_dataset.csv").write_text(
        "ImageId,TrueLabel,OriginalLandingURL,License,Author\n"
        r"photo0,1,https://example.org/1,https://example.org/by,LG\354\240\204\354\236\220" + "\n"
    )
    photo = PhotoDataset(folder, keep).photo(0)
    assert photo.author == "LG전자"
    assert photo.page_url == "https://example.org/1"
    assert photo.license_url == "https://example.org/by"


def test_absent_columns_are_none(photos):
    photo = PhotoDataset(photos(1), keep).photo(0)
    assert (photo.author, photo.page_url, photo.license_url) == (None, None, None)


@pytest.mark.parametrize(
    ("raw", "decoded"),
    [
        (r"LG\354\240\204\354\236\220", "LG전자"),
        (r"Andr\303\251 B.", "André B."),
        ("Zoë", "Zoë"),
        (r"a\b 12", r"a\b 12"),  # not an escape
        (r"\377", "\N{REPLACEMENT CHARACTER}"),  # not UTF-8: readable, and no error
    ],
)
def test_octal_escapes_of_authors_are_decoded(raw, decoded):
    assert decode_octal(raw) == decoded


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_kind_of_png_becomes_rgb(tmp_path, mode):
    path = tmp_path / "image.png"
    Image.new("RGB", (4, 3), (255, 255, 255)).convert(mode).save(path)
    image = read_rgb(path)
    assert image.mode == "RGB"
    assert image.size == (4, 3)
    assert image.getpixel((0, 0)) == (255, 255, 255)


def test_gray_becomes_three_equal_channels(tmp_path):
    Image.new("L", (2, 2), 100).save(tmp_path / "gray.png")
    assert read_rgb(tmp_path / "gray.png").getpixel((1, 1)) == (100, 100, 100)


def test_sixteen_bit_gray_does_not_become_white(tmp_path):
    """Refused or scaled, but not clipped at 255 of 65535."""
    Image.fromarray(np.full((2, 2), 32768, dtype=np.uint16)).save(tmp_path / "deep.png")
    try:
        value = read_rgb(tmp_path / "deep.png").getpixel((0, 0))[0]
    except InputError as error:
        assert "deep.png" in str(error)
    else:
        assert abs(value - 128) <= 1


# --- bad input ---------------------------------------------------------------------------------


def test_a_missing_folder_is_named(tmp_path):
    message = complaint(tmp_path / "nowhere")
    assert "nowhere" in message
    assert "no such" in message


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "photos.zip").write_bytes(b"PK")
    assert "photos.zip" in complaint(tmp_path / "photos.zip")


@pytest.mark.parametrize("file", ["dev_dataset.csv", "categories.csv"])
def test_a_missing_csv_is_named(photos, file):
    folder = photos(1)
    (folder / file).unlink()
    assert complaint(folder) == f"{folder / file}: no such file."


def test_a_missing_image_folder_is_named(photos):
    folder = photos(1)
    (folder / "images").rename(folder / "pictures")
    message = complaint(folder)
    assert str(folder / "images") in message
    assert "no such folder" in message


def test_missing_images_are_named_and_counted(photos):
    folder = photos(5)
    for name in ("photo1.png", "photo3.png", "photo4.png"):
        (folder / "images" / name).unlink()
    message = complaint(folder)
    assert "photo1.png" in message
    assert "dev_dataset.csv" in message
    assert "3 images are missing" in message


def test_a_file_name_in_other_letters_is_another_file(photos):
    """As on a case-sensitive disk, everywhere."""
    folder = rewrite(photos(1), "dev_dataset.csv", "photo0", "PHOTO0")
    assert "PHOTO0.png" in complaint(folder)


@pytest.mark.parametrize(
    ("file", "column"),
    [
        ("dev_dataset.csv", "ImageId"),
        ("dev_dataset.csv", "TrueLabel"),
        ("categories.csv", "CategoryId"),
        ("categories.csv", "CategoryName"),
    ],
)
def test_a_missing_column_is_named_with_those_found(photos, file, column):
    message = complaint(rewrite(photos(1), file, column, "Other"))
    assert file in message
    assert f"no column '{column}'" in message
    assert "Other" in message


@pytest.mark.parametrize("label", ["0", "11", "-1", "1.0", "cat", "", "9999999999", " 1", "nan"])
def test_a_label_out_of_range_is_named_with_the_range(photos, label):
    folder = rewrite(photos(2), "dev_dataset.csv", "photo1,8", f"photo1,{label}")
    message = complaint(folder)
    assert "dev_dataset.csv" in message
    assert "row 2" in message
    assert repr(label) in message
    assert "from 1 to 10" in message


@pytest.mark.parametrize(
    "image_id", ["../photo0", "/etc/passwd", "a/b", r"..\photo0", "..", ".hidden", "C:x", ""]
)
def test_an_image_id_that_is_no_plain_name_is_refused(photos, image_id):
    folder = rewrite(photos(1), "dev_dataset.csv", "photo0", image_id)
    # The file exists, so only the name is wrong with it.
    (folder / "photo0.png").write_bytes((folder / "images" / "photo0.png").read_bytes())
    message = complaint(folder)
    assert "dev_dataset.csv" in message
    assert repr(image_id) in message
    assert "plain name" in message


@pytest.mark.parametrize(
    ("old", "new", "found", "row"),
    [
        ("2,class 1", "3,class 1", "'3'", 2),  # a gap
        ("1,class 0", "0,class 0", "'0'", 1),  # 0-indexed
        ("2,class 1", "1,class 1", "'1'", 2),  # twice the same
        ("2,class 1", "two,class 1", "'two'", 2),
        ("2,class 1", ",class 1", "''", 2),
    ],
)
def test_category_ids_that_do_not_count_up_are_named(photos, old, new, found, row):
    message = complaint(rewrite(photos(1), "categories.csv", old, new))
    assert "categories.csv" in message
    assert f"row {row} has CategoryId {found}" in message
    assert f"expected {row}" in message


@pytest.mark.parametrize("names", ["tench, Tinca tinca", "tench,"])
def test_a_comma_without_quotes_is_an_input_error(photos, names):
    """pandas alone would take the ids for an index and the first half of the name for the id."""
    folder = photos(1)
    (folder / "categories.csv").write_text(f"CategoryId,CategoryName\n1,{names}\n2,{names}\n")
    assert "categories.csv" in complaint(folder)


@pytest.mark.parametrize("file", ["dev_dataset.csv", "categories.csv"])
@pytest.mark.parametrize("content", [b"", b"\n\n", b"ImageId,TrueLabel,CategoryId,CategoryName\n"])
def test_an_empty_csv_is_named(photos, file, content):
    folder = photos(1)
    (folder / file).write_bytes(content)
    assert str(folder / file) in complaint(folder)


@pytest.mark.parametrize("file", ["dev_dataset.csv", "categories.csv"])
@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_csv_that_is_not_utf8_is_named(photos, file, encoding):
    folder = photos(1)
    text = (folder / file).read_text() + "3,é\n"
    (folder / file).write_bytes(text.encode(encoding))
    message = complaint(folder)
    assert str(folder / file) in message
    assert "UTF-8" in message


def test_a_row_with_too_few_cells_is_named_with_its_number(photos):
    message = complaint(rewrite(photos(3), "dev_dataset.csv", "photo1,8", "photo1"))
    assert "dev_dataset.csv" in message
    assert "row 2" in message


def test_an_unclosed_quote_is_named(photos):
    assert "categories.csv" in complaint(
        rewrite(photos(1), "categories.csv", "class 0", '"class 0')
    )


@pytest.mark.parametrize("kept", [0, 4, 20, 60, 300])
def test_a_truncated_image_is_named(photos, kept):
    folder = photos(1)
    path = folder / "images" / "photo0.png"
    path.write_bytes(path.read_bytes()[:kept])
    message = complaint(folder)
    assert str(path) in message
    assert "expected a PNG" in message


def test_a_file_that_is_no_image_is_named(photos):
    folder = photos(1)
    (folder / "images" / "photo0.png").write_text("<html>404 Not Found</html>")
    assert "photo0.png" in complaint(folder)


def test_an_image_too_large_to_decode_is_named(tmp_path, monkeypatch):
    path = tmp_path / "large.png"
    Image.new("L", (40, 40)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow's guard against zip bombs
    with pytest.raises(InputError, match=r"large\.png"):
        read_rgb(path)


def test_an_image_deleted_meanwhile_is_named(photos):
    dataset = PhotoDataset(photos(1), keep)
    dataset.photo(0).path.unlink()
    with pytest.raises(InputError, match=r"photo0\.png: no such image"):
        dataset[0]


@pytest.mark.parametrize("sample", [-1, 3, 766])
def test_an_unknown_sample_is_named_with_the_range(photos, sample):
    dataset = PhotoDataset(photos(3), keep)
    with pytest.raises(InputError, match=f"no sample {sample}; expected a number from 0 to 2"):
        dataset[sample]


def test_a_message_is_one_line(photos):
    """The command line prints it as it is."""
    bad = rewrite(photos(1), "categories.csv", "2,class 1", "2,class 1,more")
    assert "\n" not in complaint(bad)


# --- the fingerprint ---------------------------------------------------------------------------


def test_the_fingerprint_does_not_depend_on_the_place(photos):
    first, second = photos(3, name="here"), photos(3, name="there")
    assert PhotoDataset(first, keep).sha256() == PhotoDataset(second, keep).sha256()


def test_the_fingerprint_changes_with_a_pixel_a_label_or_a_name(photos):
    def one_pixel(folder):
        path = folder / "images" / "photo2.png"
        image = Image.open(path)
        image.putpixel((5, 5), (1, 2, 3))
        image.save(path)

    def renamed_image(folder):
        (folder / "images" / "photo1.png").rename(folder / "images" / "other.png")
        rewrite(folder, "dev_dataset.csv", "photo1", "other")

    def two_images_swapped(folder):
        images = folder / "images"
        (images / "photo0.png").rename(images / "swap.png")
        (images / "photo1.png").rename(images / "photo0.png")
        (images / "swap.png").rename(images / "photo1.png")

    changes = [
        lambda folder: None,
        one_pixel,
        renamed_image,
        two_images_swapped,
        lambda folder: rewrite(folder, "dev_dataset.csv", "photo1,8", "photo1,9"),
        lambda folder: rewrite(folder, "categories.csv", "class 9", "other"),
    ]
    found = set()
    for i, change in enumerate(changes):
        folder = photos(3, name=f"data{i}")
        change(folder)
        found.add(PhotoDataset(folder, keep).sha256())
    assert len(found) == len(changes)
