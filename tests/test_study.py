"""Studies: of one's own in three calls, the keys of their tables, and profiles."""

import os
import shutil
from pathlib import Path

import networks
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import COLORS, OPTIONS, Around, Small, refused
from PIL import Image
from torchvision.datasets import ImageFolder

from fgsm_lib import analysis, open_study, own_study, store
from fgsm_lib.attacks import fgsm
from fgsm_lib.classifiers import Classifier, network_sha256
from fgsm_lib.profiles import build_folder, built_in, load_profile
from fgsm_lib.sweep import SweepSettings

GRID = {"epsilon_255": (0, 1, 4)}


@pytest.fixture
def own(noise_folder, tmp_path):
    """``own(network)``: a study of the colored noise, its tables below ``tmp_path``."""

    def build(network, images=noise_folder, class_names=COLORS, **options):
        options = GRID | ({} if isinstance(network, Classifier) else OPTIONS) | options
        return own_study(network, images, class_names, tmp_path / "results", **options)

    return build


def tables(results: Path) -> set[tuple[str, str]]:
    """The tables there are, by what their numbers depend on."""
    parts = ((path.name.split("-0")[0], pq.read_table(path)) for path in results.rglob("*.parquet"))
    return {(attack, str(store.provenance_of(part))) for attack, part in parts}


# --- one's own network and pictures --------------------------------------------------------------


class Colored(torch.utils.data.Dataset):
    """A torch Dataset of tensors; its classes are the folders'."""

    def __init__(self, paths: list[Path]):
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        pixels = torch.from_numpy(np.array(Image.open(self.paths[index]))).permute(2, 0, 1)
        return pixels, COLORS.index(self.paths[index].parent.name)


def test_three_calls_whatever_holds_the_pictures(own, trained, noise_folder):
    table = own(trained).table()
    assert len(table) == 42 * 3
    assert table.query("epsilon_255 == 0")["correct"].mean() > 0.8
    paths = sorted(noise_folder.rglob("*.png"))
    frame = pd.DataFrame({"path": paths, "label": [path.parent.name for path in paths]})
    frame.index = [f"#{path}" for path in paths]
    for images in (frame, Colored(paths)):
        pd.testing.assert_frame_equal(own(trained, images).table(), table)


def test_class_names_by_index_or_by_name_are_in_the_order_of_the_logits(own, trained):
    expected = own(trained).table()
    for names in ({2: "blue", 0: "red", 1: "green"}, {"green": 1, "red": 0, "blue": 2}):
        pd.testing.assert_frame_equal(own(trained, class_names=names).table(), expected)
    assert "class_names is None" in refused(own, trained, class_names=None)
    assert "'blue'" in refused(own, trained, class_names=["red", "green", "violet"])


def test_a_data_set_s_own_classes_are_taken_where_none_are_given(own, trained, noise_folder):
    folder = ImageFolder(noise_folder)
    study = own(trained, folder, None)
    assert study.names == folder.classes == sorted(COLORS)
    pictures = own(trained, folder).pictures
    assert [COLORS[label] for label in pictures.labels()] == [p.class_name for p in pictures]


def test_a_case_is_what_one_computes_by_hand(own, trained):
    mine = own(trained, epsilon_255=np.array([1, 4], dtype=np.int16))
    case = mine.case(np.int64(0))
    (image,), (label,) = mine.image(0)
    assert torch.equal(image, case.image)
    assert case.picture.label == label == 2
    adversarial = fgsm(mine.classifier, image[None], [int(label)], 4 / 255)[0]
    assert torch.equal(case.adversarial(4), adversarial)
    confidence = mine.classifier(adversarial[None]).softmax(1).max().item()
    for four in (4, "4", np.float32(4), torch.tensor(4.0)):
        assert case.row(four)["confidence"] == pytest.approx(confidence, abs=1e-5)
    assert case.control["epsilon_255"].tolist() == [0, 1, 4]
    assert (case.random(4) - image).abs().max().item() == pytest.approx(4 / 255, abs=1e-6)
    for wrong in (3.5, "x", None, [1, 2]):
        said = f"epsilon_255 is {wrong!r}; expected one of 0, 1, 4"
        assert said in refused(case.row, wrong)
    for wrong in (99_999, -1, "coffee", None, 0.5):
        assert "there is no" in refused(mine.case, wrong)


def test_thinned_tables_keep_the_set_s_own_numbers(own, trained):
    mine = own(trained)
    assert mine.table(every=4)["sample"].unique().tolist() == list(range(0, 42, 4))
    assert mine.table(samples=[np.int64(7), 3])["sample"].unique().tolist() == [3, 7]
    assert len(mine.table(every=40, samples=[1])) == 0
    assert mine.table("random", every=20)["gradient_l1"].isna().all()
    assert mine.table(objective="true_logit", epsilon_255=[4], samples=[0])["attacked"].all()
    assert "there is no sample 99" in refused(mine.table, samples=[99])
    assert "every is 0; expected" in refused(mine.table, every=0)
    for mask in (np.ones(42, bool), pd.Series([True, False])):
        assert "there is no sample True" in refused(mine.table, samples=mask)


def test_pictures_without_a_gradient_are_counted_and_another_objective_attacks_them(own, trained):
    """Logits times 40: float32 softmax is exactly 1, the cross-entropy gradient exactly 0."""
    louder = Around(trained, after=lambda z: z * 40)
    unmoved = own(louder).table().groupby("sample").first().query("~attacked")
    assert 0 < len(unmoved) < 42
    assert (unmoved["zero_gradients"] == 3 * 32 * 32).all()
    assert (unmoved["confidence"] == 1).all()
    assert own(louder, objective="true_logit").table()["attacked"].all()


def test_a_grid_in_steps_of_a_tenth_holds_tenths(own, trained):
    study = own(trained, epsilon_255=np.arange(0, 1, 0.1))
    assert study.case(0).row(0.3)["epsilon_255"] == 0.3
    assert len(analysis.at(study.table(every=20), [0.3, 0.1 + 0.2])) == 3


def test_a_study_may_be_opened_where_nothing_is_to_be_differentiated(own, trained):
    with torch.inference_mode():
        study = own(trained)
    assert study.table(samples=[0])["attacked"].all()


def test_a_picture_that_cannot_be_differentiated_is_found_at_the_door(own, pixels):
    """Also the last of a set, with which every table's key is made."""
    images = [*pixels(30, shape=(3, 32, 32)), torch.zeros(3, 32, 32)]
    tip = lambda x: x + (x + 2).mean((1, 2, 3), keepdim=True).sqrt() * 0  # noqa: E731 - at black
    said = refused(own, Around(Small(), before=tip), [(image, 0) for image in images])
    assert "gradient at sample 30 (item 30)" in said


def test_a_file_that_changes_is_not_measured_for_another(trained, noise_folder, tmp_path):
    folder = tmp_path / "pictures"
    shutil.copytree(noise_folder, folder)
    study = own_study(trained, folder, COLORS, tmp_path / "results", **GRID, **OPTIONS)
    study.table(samples=[0])
    file = study.picture(0).source
    file.write_bytes(file.read_bytes())  # a copy of the same
    os.utime(file, (0, 0))
    study.table("random", samples=[0])
    Image.new("RGB", (32, 32), "red").save(file)
    assert "has changed since" in refused(study.table, "random", samples=[1])


def test_what_timm_says_is_heard_through_a_wrapper_and_pictures_are_not_enlarged_in_silence(
    noise_folder, tmp_path
):
    network = Small()
    config = {"input_size": (3, 40, 40), "mean": (0.4,) * 3, "std": (0.3,) * 3}
    network.pretrained_cfg = config | {"crop_pct": 0.9, "interpolation": "bicubic"}
    wrapped = torch.nn.DataParallel(network)
    with pytest.warns(UserWarning, match="32 pixels a side are enlarged to 40 × 40"):
        study = own_study(wrapped, noise_folder, COLORS, tmp_path, **GRID)
    assert study.classifier.mean.flatten().tolist() == pytest.approx([0.4] * 3)
    assert (study.classifier.resize, study.classifier.crop) == (44, (40, 40))
    network.pretrained_cfg |= {"crop_mode": "squash"}
    assert "resize and crop given" in refused(own_study, wrapped, noise_folder, COLORS, **GRID)
    both = own_study(wrapped, noise_folder, COLORS, tmp_path, resize=32, crop=32, **GRID)
    assert both.classifier.crop == 32
    network.pretrained_cfg["crop_mode"] = "center"
    alone = own_study(wrapped, noise_folder, COLORS, tmp_path, crop=30, **GRID)
    assert (alone.classifier.resize, alone.classifier.crop) == (34, 30)


def test_home_is_expanded(trained, noise_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    own_study(trained, noise_folder, COLORS, "~/x", **OPTIONS | GRID).table(samples=[0])
    assert tables(tmp_path / "x")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"objective": "nll"}, "objective is 'nll'; expected"),
        ({"epsilon_255": 4}, "epsilon_255 is 4; expected numbers from 0 to 255"),
        ({"epsilon_255": [300]}, "epsilon_255 is [300]"),
        ({"batch": 0}, "batch is 0; expected"),
        ({"device": "gpu"}, "device is 'gpu'"),
        ({"size": 3}, "unknown argument 'size'"),
        ({"mean": (128,) * 3}, "mean is (128, 128, 128)"),
        ({"images": "/no/such/folder"}, "/no/such/folder"),
        ({"images": 3}, "expected a folder, a CSV file"),
        ({"class_names": ["a", "b", "c", "d"]}, "class"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_computed(
    own, trained, tmp_path, options, said
):
    assert said in refused(own, trained, **options)
    assert not tables(tmp_path / "results")


def test_the_door_stands_before_every_study_and_names_the_picture(own, tmp_path):
    assert "probabilities" in refused(own, Around(Small(), after=lambda z: z.softmax(1)))
    nowhere = Around(Small(), before=lambda x: x + (x - x).sqrt())
    assert "gradient at sample 0 (" in refused(own, nowhere)
    assert not tables(tmp_path / "results")


# --- the keys of tables --------------------------------------------------------------------------


class Edited(Small):
    """The same weights and layers; its forward differs where only few pictures show it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.features(x).mean((2, 3)).clamp(max=1e6)
        return self.head(x) / self.temperature + self.shift


CAP = 100.0


class Capped(Edited):
    """Its caps are not reached by noise: a number, and one where no fingerprint looks."""

    def __init__(self, cap: float = 1.0):
        super().__init__()
        self.cap = {cap}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        far = (x.mean((2, 3)).abs() - min(self.cap)).clamp(min=0)  # noise has the mean 0
        return (super().forward(x) + far).clamp(max=CAP)


CHANGES = {
    "a Python attribute": lambda network: setattr(network, "temperature", 1.0001),
    "a buffer that is not saved": lambda network: network.shift.add_(1e-4),
    "a setting in a dictionary": lambda network: setattr(network, "options", {"clamp": [0, 1]}),
    "running statistics": lambda network: network.bn1.running_var.mul_(1.001),
    "a hook": lambda network: network.conv2.register_forward_hook(lambda m, args, z: z * 1.001),
}
QUESTIONS = [{"objective": "true_logit"}, {"crop": 30}, {"mean": (0.4, 0.5, 0.5)}]
QUESTIONS += [{"interpolation": "bicubic"}]


def test_another_network_or_question_gets_another_table(own, trained, tmp_path, monkeypatch):
    asked = 0

    def is_new(what: object, network: torch.nn.Module, **options) -> None:
        nonlocal asked
        asked += 1
        own(network, **options).table(samples=[0])
        assert len(tables(tmp_path / "results")) == asked, what

    is_new("nothing yet", trained)
    for what, change in CHANGES.items():
        network = networks.copy_of(trained).eval()
        change(network)
        is_new(what, network)
    for network in (Edited(), Capped(), Capped(0.1)):
        network.load_state_dict(trained.state_dict())
        is_new(type(network), network)
    monkeypatch.setitem(globals(), "CAP", 99.0)  # a global that a forward reads
    is_new("a global", network)
    for options in QUESTIONS:
        is_new(options, trained, **options)


def test_an_equal_network_computes_nothing(own, trained, tmp_path, monkeypatch):
    own(trained).table()
    before = tables(tmp_path / "results")
    monkeypatch.setattr("fgsm_lib.store._compute", None)
    rebuilt = Small()
    rebuilt.load_state_dict(trained.state_dict())
    for equal in (trained.train(), rebuilt, Classifier(trained, COLORS, **OPTIONS)):
        assert len(own(equal).table()) == 126
    assert tables(tmp_path / "results") == before


def test_a_study_s_own_classifier_that_changes_gets_another_table(own, trained):
    study = own(trained)
    before = study.table()
    with torch.no_grad():
        study.classifier.network.head.weight.mul_(-1)
    assert not study.table()["predicted_class"].equals(before["predicted_class"])


@settings(max_examples=10)
@given(data=st.data())
def test_any_changed_weight_is_another_network(_trained, data):
    network = networks.copy_of(_trained)
    weights = dict(network.named_parameters())
    weight = weights[data.draw(st.sampled_from(sorted(weights)))].detach().flatten()
    place = data.draw(st.integers(0, weight.numel() - 1))
    before = network_sha256(network)
    assert network_sha256(networks.copy_of(network)) == before
    weight[place] = torch.nextafter(weight[place], torch.tensor(torch.inf))
    assert network_sha256(network) != before


@pytest.mark.parametrize("wrapped", [False, True])
def test_weights_that_change_after_the_study_do_not_matter(own, trained, tmp_path, wrapped):
    """What is measured and what is keyed are one copy."""
    network = Classifier(trained, COLORS, **OPTIONS) if wrapped else trained
    mine, as_it_was = own(network), networks.copy_of(trained)
    with torch.no_grad():
        (network.network if wrapped else network).head.weight.zero_()
    table = mine.table()
    assert table["confidence"].nunique() > 10  # not those of a head without weights
    pd.testing.assert_frame_equal(own(as_it_was).table(), table)
    assert len(tables(tmp_path / "results")) == 1


# --- profiles ------------------------------------------------------------------------------------

MINIMAL = 'title = "Mine"\npictures = "folder"\narch = "resnet18"\n'


@pytest.fixture
def profile_of(tmp_path):
    def load(text: str, name: str = "mine.toml", **options):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return load_profile(tmp_path / name, **options)

    return load


def test_built_in_profiles_can_be_swept_and_nips2017_is_the_original_s():
    for name in built_in():
        profile = load_profile(name)
        assert (profile.name, bool(profile.title)) == (name, True)
        assert SweepSettings(profile.sweep_epsilon_255).epsilon_255[0] == 0
    profile = load_profile("nips2017")
    assert (profile.cases, profile.arch, profile.data) == ((766, 132, 528), "googlenet", "")
    assert len(profile.epsilon_255.cases) == 20
    assert profile.epsilon_255.hypothesis[-1] == 60
    assert "needs a folder of photographs: DATA=" in refused(open_study, "nips2017")


def test_a_profile_of_one_s_own(profile_of, tmp_path, monkeypatch):
    """Paths are relative to it, a byte-order mark is fine, grids are sorted and begin at 0."""
    text = 'data = "photos"\nweights = "~/w.pth"\n[epsilon_255]\nhypothesis = [4, 1.5, 4.0]\n'
    profile = profile_of("\ufeff" + MINIMAL + text)
    assert (profile.name, profile.data) == ("mine", str(tmp_path / "photos"))
    assert profile.weights == str(Path("~/w.pth").expanduser())
    assert profile.epsilon_255.hypothesis == (0, 1.5, 4)
    monkeypatch.setenv("FGSM_ARCH", "vgg11")
    profile = profile_of(MINIMAL + 'weights = "a"\nweights_sha256 = "abc"\n', data="here")
    assert (profile.arch, profile.weights, profile.weights_sha256) == ("vgg11", "", "")
    assert profile.data == str(Path.cwd() / "here")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epsilons = [1]", "unknown field `epsilons`"),
        ("objective = 'nll'", "'nll'"),
        ("cases = [true]", "`$.cases[0]`"),
        ("[every]\nclips = 0", ">= 1 - at `$.every.clips`"),
        ("[epsilon_255]\ncases = [256]", "<= 255.0 - at `$.epsilon_255.cases[0]`"),
        ("[epsilon_255]\ncases = [nan]", "`$.epsilon_255.cases"),
        (
            "[epsilon_255]\nhypothesis = [0]\ncases = [0]\nall_images = [0]\nobjectives = [0]",
            "is 0",
        ),
        ("cases = " + "[" * 4000, "not a TOML file"),
        ("x = ", "not a TOML file"),
    ],
)
def test_a_wrong_value_is_named_with_its_file(profile_of, text, said):
    message = refused(profile_of, MINIMAL + text + "\n")
    assert "mine.toml: " in message
    assert said in message


def test_other_wrong_profiles_are_named(profile_of, tmp_path):
    assert "`arch`" in refused(profile_of, 'title = "Mine"\npictures = "folder"\n')
    assert "demo is a built-in profile; rename" in refused(profile_of, MINIMAL, "demo.toml")
    assert "unknown profile 'imagenet'; expected demo" in refused(load_profile, "imagenet")
    assert "no such profile file" in refused(load_profile, tmp_path / "none.toml")
    for name in ("a" * 5000 + ".toml", "~no-such-user/x.toml"):
        assert "no such profile file" in refused(load_profile, name)
    assert "not a TOML file (embedded null" in refused(load_profile, "a\0.toml")
    assert profile_of(MINIMAL + 'data = "~no-such-user/x"\n').data.endswith("~no-such-user/x")
    for option in ("data", "weights", "arch"):
        assert "PROFILE=nips2017" in refused(load_profile, "demo", **{option: "x"})


def test_pictures_of_no_imagenet_class_are_named(profile_of, noise_folder, tmp_path):
    profile_of(MINIMAL + f'data = "{noise_folder}"\n')
    assert "'blue'" in refused(open_study, tmp_path / "mine.toml")


def test_the_photographs_tell_the_story(tmp_path):
    shown = open_study("photographs", results=tmp_path)
    assert shown.shown is shown
    table = shown.table(epsilon_255=[0, 1, 8, 20], samples=[shown.picture("coffee").sample])
    expected = [pytest.approx(0.957, abs=2e-3), pytest.approx(0.287, abs=2e-2)]
    expected += [pytest.approx(0.421, abs=2e-2)]
    assert table["confidence"].tolist()[:3] == expected
    assert table["correct"].all()
    assert {shown.names[index] for index in table["predicted_class"]} == {"espresso"}


def test_the_build_folder_is_that_of_the_project(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert build_folder() == tmp_path / "notebooks" / "_build"
    (tmp_path / "_toc.yml").touch()
    assert build_folder() == tmp_path / "_build"
    monkeypatch.setitem(os.environ, "FGSM_BUILD", "/elsewhere")
    assert build_folder() == Path("/elsewhere")
