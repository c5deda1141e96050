"""Tables as a file to hand on: taken where they are what would be computed, and refused else."""

import re
import shutil

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from networks import COLORS, OPTIONS, Around

from fgsm_lib import InputError, offered, own_study, store

GRID = {"epsilon_255": (0, 1, 4)}


def tables(study) -> list[pd.DataFrame]:
    """Of three kinds, one of them on some pictures only."""
    return [study.table(), study.table("random", every=4), study.table(bits=8)]


@pytest.fixture
def here(noise_folder, tmp_path):
    """``here(name, network)``: a study with tables in a folder of this name."""

    def build(name: str, network, pictures=noise_folder):
        return own_study(network, pictures, COLORS, tmp_path / name, **OPTIONS, **GRID)

    return build


@pytest.fixture(scope="module")
def site(_trained, noise_folder, tmp_path_factory):
    """A study with three tables, and the file of them that its site offers."""
    folder = tmp_path_factory.mktemp("für Leser")
    study = own_study(_trained, noise_folder, COLORS, folder / "tables", **OPTIONS, **GRID)
    tables(study)
    offered.offer(study, folder / "new" / "site.parquet")
    return study, folder / "new" / "site.parquet"


@pytest.fixture
def file(site, tmp_path):
    """A copy of the file, which a test may change."""
    return shutil.copy(site[1], tmp_path / "site.parquet")


@pytest.mark.parametrize("how", ["path", "address"])
def test_what_was_offered_is_not_computed_again(here, trained, site, how, monkeypatch, capsys):
    offering, file = site
    expected, study = tables(offering), here("von hier", trained)
    study.take(file if how == "path" else file.as_uri())
    assert "site.parquet: 285 rows taken" in capsys.readouterr().out
    monkeypatch.setattr(store, "_compute", None)
    for ours, theirs in zip(tables(study), expected, strict=True):
        pd.testing.assert_frame_equal(ours, theirs)


def test_what_is_not_offered_is_computed(here, trained, file):
    study = here("here", trained)
    study.take(file)
    assert len(study.table(epsilon_255=[0, 1, 2, 4])) == 42 * 4
    assert study.table("random")["epsilon_255"].tolist() == [0, 1, 4] * 42


def test_an_offer_holds_only_tables_of_the_study_s_own_numbers(here, trained, tmp_path):
    """Those of another network, or of this one as it was, stay where they are."""
    study = here("site", trained)
    here("site", Around(trained, after=lambda z: z * 2)).table(samples=[0])
    study.table(samples=[0, 1])
    study.classifier.network.temperature = 2.0
    study.table("random", samples=[0])
    offered.offer(study, tmp_path / "changed.parquet")
    found = pd.read_parquet(tmp_path / "changed.parquet")
    assert found.value_counts(["attack", "sample"]).to_dict() == {
        ("random-cross_entropy-valid", 0): 3
    }


@pytest.mark.parametrize("what", ["weights", "answers", "pictures", "code"])
def test_a_table_of_something_else_is_refused_by_name(
    here, trained, noise_folder, file, tmp_path, what, monkeypatch, capsys
):
    pictures = noise_folder
    if what == "weights":
        trained.head.weight.data.mul_(1.01)
    if what == "answers":
        trained.temperature = 2.0
    if what == "pictures":
        pictures = shutil.copytree(noise_folder, tmp_path / "fewer")
        (pictures / "red" / "00.png").unlink()
    if what == "code":
        monkeypatch.setattr(store, "code_sha256", lambda: "of another version")
    here("here", trained, pictures).take(file)
    said = capsys.readouterr().out
    assert re.search(rf"\(.*other {what}.* than here\); what is missing is computed\.$", said)
    assert not list(tmp_path.glob("here/*/offered.parquet"))


@pytest.mark.parametrize("what", ["missing", "text", "no offer"])
def test_a_file_that_is_no_offer_is_told_in_a_sentence(here, trained, file, what, capsys):
    if what == "missing":
        file.unlink()
    if what == "text":
        file.write_text("<html>404")
    if what == "no offer":
        pq.write_table(pa.table({"sample": [1]}), file)
    here("here", trained).take(file)
    said = capsys.readouterr().out
    assert said.startswith(f"{file}: not taken (")
    assert said.count("\n") == 1


def test_a_folder_to_which_one_cannot_write_is_named(here, trained, file, tmp_path):
    (tmp_path / "here").touch()
    with pytest.raises(InputError, match=r"here.*cannot keep the table there"):
        here("here", trained).take(file)
