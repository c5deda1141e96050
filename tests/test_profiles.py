"""Profiles: the built-in ones, one's own, and what is said about a malformed one."""

from pathlib import Path

import pytest

from fgsm_lib.errors import InputError
from fgsm_lib.profiles import BUILT_IN, build_folder, data_folder, load_profile
from fgsm_lib.sweep import SweepSettings

BUILT_INS = sorted(path.stem for path in BUILT_IN.glob("*.toml"))
MINIMAL = 'title = "Mine"\narch = "resnet50"\n'


@pytest.fixture
def own(tmp_path):
    """Writes a profile and returns its path as a user would type it."""

    def write(text: str, name: str = "mine.toml") -> str:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def complaint(*args, **kwargs) -> str:
    with pytest.raises(InputError) as caught:
        load_profile(*args, **kwargs)
    return str(caught.value)


# --- built in ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILT_INS)
def test_a_built_in_profile_loads_and_can_be_swept(name):
    profile = load_profile(name)
    assert profile.name == name
    assert profile.title
    assert len(profile.cases) == 3
    for grid in (profile.sweep_epsilon_255, profile.eight_bit_epsilon_255):
        SweepSettings(grid, profile.objective, profile.clip)


def test_nips2017_has_the_samples_and_grids_of_the_original_page():
    profile = load_profile("nips2017")
    assert profile.cases == (766, 132, 528)
    assert profile.arch == "googlenet"
    assert profile.data is profile.weights is profile.weights_sha256 is None
    assert len(profile.case_epsilon_255) == 20
    assert profile.hypothesis_epsilon_255[-1] == 60


def test_an_unknown_profile_names_the_known_ones():
    message = complaint("imagenet")
    assert "'imagenet'" in message
    assert all(name in message for name in BUILT_INS)
    assert ".toml" in message


def test_the_sweep_covers_every_grid_once_and_in_order():
    profile = load_profile("nips2017")
    grid = profile.sweep_epsilon_255
    assert list(grid) == sorted(set(grid))
    assert grid[0] == 0
    assert profile.eight_bit_epsilon_255 == (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1, 2)
    wanted = profile.case_epsilon_255 + profile.hypothesis_epsilon_255
    assert set(grid) >= {*wanted, *profile.all_images_epsilon_255}


# --- one's own ---------------------------------------------------------------------------------


def test_paths_are_relative_to_the_profile_not_to_the_current_folder(own, tmp_path, monkeypatch):
    name = own(MINIMAL + 'data = "photos"\nweights = "../weights.pth"\n')
    monkeypatch.chdir("/")
    profile = load_profile(name)
    assert profile.data == tmp_path / "photos"
    assert profile.weights.resolve() == tmp_path.parent / "weights.pth"


def test_a_relative_profile_has_absolute_paths(own, tmp_path, monkeypatch):
    own(MINIMAL + 'data = "photos"\n')
    monkeypatch.chdir(tmp_path)
    assert load_profile("mine.toml").data == tmp_path / "photos"


def test_what_a_profile_leaves_out_has_its_default(own):
    profile = load_profile(own(MINIMAL))
    assert (profile.name, profile.title, profile.arch) == ("mine", "Mine", "resnet50")
    assert (profile.objective, profile.clip) == ("cross_entropy", "valid")
    assert profile.cases == ()
    assert profile.data is profile.weights is None
    assert profile.case_epsilon_255 == load_profile("nips2017").case_epsilon_255


def test_a_grid_is_sorted_and_has_no_doubles(own):
    profile = load_profile(own(MINIMAL + "[epsilon_255]\nhypothesis = [4, 0, 1.5, 4.0]\n"))
    assert profile.hypothesis_epsilon_255 == (0, 1.5, 4)
    assert profile.objectives_epsilon_255 == load_profile("nips2017").objectives_epsilon_255


@pytest.mark.parametrize(
    ("key", "name"), [("cases", "case"), ("hypothesis", "hypothesis"), ("all_images", "all_images")]
)
def test_a_grid_always_holds_the_clean_image(own, key, name):
    """Pages start from the clean image; a profile that forgets 0 must not break them."""
    profile = load_profile(own(MINIMAL + f"[epsilon_255]\n{key} = [1, 2]\n"))
    assert getattr(profile, f"{name}_epsilon_255") == (0, 1, 2)


def test_all_values_of_a_profile_are_read(own, tmp_path):
    profile = load_profile(
        own(
            'title = "Mine"\nimages = "drawings"\ndata = "d"\narch = "resnet18"\n'
            'weights = "w.pth"\nweights_sha256 = "abc"\nobjective = "true_logit"\nclip = "image"\n'
            "cases = [3, 1]\n[epsilon_255]\ncases = [0, 1]\nobjectives = [2]\n"
        )
    )
    assert profile.images == "drawings"
    assert profile.weights == tmp_path / "w.pth"
    assert profile.weights_sha256 == "abc"
    assert (profile.objective, profile.clip) == ("true_logit", "image")
    assert profile.cases == (3, 1)
    assert (profile.case_epsilon_255, profile.objectives_epsilon_255) == ((0, 1), (0, 2))


# --- options and environment -------------------------------------------------------------------


def test_options_replace_what_the_profile_says(own, tmp_path, monkeypatch):
    name = own(MINIMAL + 'data = "a"\nweights = "w.pth"\nweights_sha256 = "abc"\n')
    monkeypatch.chdir(tmp_path)
    profile = load_profile(name, data="b", weights="v.pth", arch="vgg11")
    assert profile.data == tmp_path / "b"
    assert profile.weights == tmp_path / "v.pth"
    assert profile.weights_sha256 is None  # the pinned hash was that of the other file
    assert profile.arch == "vgg11"


def test_the_environment_replaces_what_the_profile_says(own, monkeypatch):
    monkeypatch.setenv("FGSM_DATA", "/photos")
    monkeypatch.setenv("FGSM_WEIGHTS", "/w.pth")
    monkeypatch.setenv("FGSM_ARCH", "vgg11")
    profile = load_profile(own(MINIMAL + 'data = "a"\n'))
    assert (profile.data, profile.weights) == (Path("/photos"), Path("/w.pth"))
    assert profile.arch == "vgg11"


def test_options_win_over_the_environment(own, monkeypatch):
    monkeypatch.setenv("FGSM_ARCH", "vgg11")
    assert load_profile(own(MINIMAL), arch="vgg16").arch == "vgg16"


@pytest.mark.parametrize("option", ["data", "weights", "arch"])
def test_the_demo_takes_no_other_data(option):
    assert "PROFILE=nips2017" in complaint("demo", **{option: "x"})


@pytest.mark.parametrize("name", BUILT_INS)
def test_a_profile_called_like_a_built_in_one_is_refused(own, name):
    """Both would build into the same folder."""
    message = complaint(own(MINIMAL, f"{name}.toml"))
    assert f"{name} is a built-in profile" in message
    assert "rename" in message


def test_a_profile_without_data_says_how_to_give_it():
    with pytest.raises(InputError, match="PROFILE=nips2017 DATA="):
        data_folder(load_profile("nips2017"))


def test_missing_data_are_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere: no such folder"):
        data_folder(load_profile("nips2017", data=tmp_path / "nowhere"))


def test_the_build_folder_is_that_of_the_project(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "_toc.yml").touch()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert build_folder() == tmp_path / "_build"


def test_outside_a_project_the_build_folder_is_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert build_folder() == tmp_path / "_build"


def test_the_build_says_where_its_folder_is(monkeypatch):
    monkeypatch.setenv("FGSM_BUILD", "/elsewhere")
    assert build_folder() == Path("/elsewhere")


# --- malformed ---------------------------------------------------------------------------------


def test_a_missing_file_is_named(tmp_path):
    assert complaint(str(tmp_path / "none.toml")) == f"{tmp_path}/none.toml: no such profile file."


@pytest.mark.parametrize("key", ["title", "arch"])
def test_a_missing_key_is_named(own, key):
    text = "".join(line for line in MINIMAL.splitlines(True) if not line.startswith(key))
    assert f"{key!r} is missing" in complaint(own(text))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("epsilons = [1]", ["unknown key 'epsilons'", "epsilon_255"]),
        ("[model]\narch = 'x'", ["unknown key 'model'"]),
        ("data = 3", ["data is 3", "expected a text"]),
        ("weights = ['a']", ["weights is ['a']", "expected a text"]),
        ("clip = true", ["clip is True", "expected a text"]),
        ("objective = 'nll'", ["objective", "'nll'", "cross_entropy", "true_logit"]),
        ("clip = 'both'", ["clip", "'both'", "valid", "image"]),
        ("cases = 766", ["cases is 766", "expected a list"]),
        ("cases = [-1]", ["cases is [-1]", "sample numbers"]),
        ("cases = ['766']", ["cases is ['766']"]),
        ("cases = [1.0]", ["cases is [1.0]"]),
        ("cases = [true]", ["cases is [True]"]),
        ("epsilon_255 = [0, 1]", ["epsilon_255 is [0, 1]", "expected a table"]),
        ("[epsilon_255]\nhypotheses = [1]", ["hypotheses", "hypothesis"]),
        ("every = 2", ["every is 2", "expected a table"]),
        ("[every]\nclip = 2", ["'clip'", "clips"]),
        ("[every]\nclips = 0", ["every.clips is 0", "above 0"]),
        ("[every]\niterative = true", ["every.iterative is True", "whole number"]),
    ],
)
def test_a_wrong_value_is_named_with_the_file_and_what_was_expected(own, line, words):
    message = complaint(own(MINIMAL + line + "\n"))
    assert "mine.toml" in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    "grid", ["[-1]", "[nan]", "[inf]", "[256]", "[true]", "['1']", "1", "[[1]]", "'0, 1'", "[]"]
)
@pytest.mark.parametrize("key", ["cases", "hypothesis", "all_images", "objectives"])
def test_a_wrong_grid_is_named(own, key, grid):
    message = complaint(own(MINIMAL + f"[epsilon_255]\n{key} = {grid}\n"))
    assert f"mine.toml: epsilon_255.{key} is" in message
    assert "from 0 to 255" in message


@pytest.mark.parametrize("content", [b"title = ", b"title = 'a'\ntitle = 'b'", b"\xff\xfe"])
def test_a_file_that_is_no_toml_is_named(tmp_path, content):
    (tmp_path / "bad.toml").write_bytes(content)
    assert "bad.toml: not a TOML file" in complaint(str(tmp_path / "bad.toml"))
