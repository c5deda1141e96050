"""The benchmark: do all sides compute the same, and is what is said of their times true?"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fgsm_lib import figures
from fgsm_lib.bench import contenders, drawings, passes, record, report, scale, speed
from fgsm_lib.bench.passes import Layout
from fgsm_lib.errors import InputError
from fgsm_lib.profiles import load_profile
from fgsm_lib.study import Study

EPSILONS = [0.0, 1 / 255, 8 / 255, 60 / 255]
NAMES = [*contenders.LIBRARIES, "original_loop"]


@pytest.fixture
def study(tiny_set, tiny, tmp_path):
    return Study(load_profile("nips2017"), tiny_set, tiny(1), tmp_path / "results")


# --- the sides ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("layout", [Layout(4, True, 2, 1), Layout(50, False, 1, 1)])
def test_every_side_predicts_what_this_library_does(study, name, layout):
    if name != "original_loop":
        pytest.importorskip(name)
    ours = {"objective": "true_logit", "clip": "image"} if name == "original_loop" else {}
    bench = speed.Bench(study, 12)
    frozen = layout.workers > 1  # two threads cannot both write the gradient of one weight
    side = bench.other(name, "", layout, getattr(contenders, name), frozen=frozen, **ours)
    _, predicted = side.once(12, EPSILONS)
    settings = speed.SweepSettings(tuple(255 * e for e in EPSILONS), side.objective, side.clip)
    expected = bench.swept(settings, range(12))
    assert predicted.shape == (4, 12)
    assert (predicted == expected).all()
    assert (expected[0] != expected[-1]).any()  # else the attack did nothing that could differ
    if name == "original_loop":
        other = bench.swept(speed.SweepSettings(settings.epsilon_255), range(12))
        assert (expected != other).any()  # else its objective could be any


def test_this_side_and_the_bare_passes_see_the_same_clean_images(study):
    bench, layout = speed.Bench(study, 12), Layout(4, True, 2, 1)
    (_, ours), (_, floor) = (
        side.once(12, EPSILONS) for side in (bench.ours(layout), bench.floor(layout))
    )
    assert (ours[0] == floor[0]).all()
    assert (floor == floor[0]).all()


@given(st.integers(1, 300), st.integers(1, 60), st.integers(1, 8))
def test_chunks_hold_every_image_once_in_equal_shares(count, batch, workers):
    parts = passes.chunks(count, Layout(batch, True, workers, 1))
    assert [sample for part in parts for sample in part] == list(range(count))
    sizes = [len(part) for part in parts]
    assert max(sizes) <= batch
    assert max(sizes) - min(sizes) <= 1
    assert len(parts) % workers == 0 or count < workers or max(sizes) == 1


# --- what is kept and said ---------------------------------------------------------------------


def side(name, use, seconds, equal=None) -> dict:
    layout = {"batch": 50, "channels_last": False, "workers": 1, "threads": 2}
    judged = {} if equal is None else {"equal": equal, "predictions": 160}
    times = [seconds - 0.1, seconds, seconds + 0.2]
    return {
        "name": name,
        "use": use,
        "layout": layout,
        "seconds": seconds,
        "rounds": times,
        **judged,
    }


@pytest.fixture
def entry():
    """Two cores, 10 images, 16 ε; this library takes 5% more than the bare passes."""
    return {
        "title": "toys",
        "classifier": "tiny",
        "crop": 16,
        "date": "2026-01-02",
        "hardware": "abacus",
        "load_before": 0.5,
        "versions": {"torch": "9"},
        "images": 10,
        "rounds": 3,
        "cores": 2,
        "epsilon_255": list(range(16)),
        "passes": [
            forward(2.0, batch=1, channels_last=True, workers=2, threads=1),
            forward(4.0, batch=50, channels_last=True, workers=2, threads=1),
            forward(3.0, batch=1, channels_last=True, workers=1, threads=1),
            forward(9.0, batch=50, channels_last=False, workers=1, threads=2),
        ],
        "sides": [
            side("this library", "as calibrated", 2.1, 160),
            side("bare passes", "fastest layout", 2.0),
            side("foolbox", "as documented", 21.0, 160),
            side("foolbox", "fastest layout", 5.0, 158),
            side("the original's loop", "image by image", 12.6, 160),
        ],
        "extras": [
            variant("as it is used", 4.0, 0),
            variant("bfloat16", 2.0, 3),
            variant("NCHW", 3.0, 0),
            {"name": "torch.compile", "error": "no compiler"},
        ],
        "decoding_milliseconds": 5.0,
        "scale": {
            "crop": 64,
            "images": [point(n, 2, n / 100, 4e8) for n in (10, 100, 2000)],
            "epsilons": [point(250, n, n, 3e8 + n * 1e6) for n in (2, 32)],
        },
    }


def variant(name: str, milliseconds: float, changed: int) -> dict:
    row = {"name": name, "milliseconds": milliseconds, "first_seconds": 7.0}
    return {**row, "changed": changed, "predictions": 160}


def forward(milliseconds: float, **layout) -> dict:
    return {**layout, "milliseconds": milliseconds}


def point(images: int, epsilons: int, seconds: float, peak: float) -> dict:
    return {"images": images, "epsilons": epsilons, "seconds": seconds, "peak_bytes": peak}


def test_goals_are_met_or_not_by_the_ratio_of_the_medians(entry):
    goals = report.goals(entry)
    assert [goal.ratio for goal in goals] == pytest.approx([1.05, 10, 5 / 2.1, 6])
    assert [goal.met for goal in goals] == [True, True, False, True]
    assert "foolbox, fastest layout / this library ≥ 2.5: **not met**, 2.38." in str(goals[2])


def test_the_agreement_counts_what_differs(entry):
    assert "Of 480 predictions of the 3 other sides, 2 differ" in report.agreement(entry)
    assert "foolbox, fastest layout: 2 of 160" in report.agreement(entry)
    entry["sides"][3]["equal"] = 160
    assert "All 3 other sides" in report.agreement(entry)
    entry["sides"] = entry["sides"][:2]
    assert "nothing could be compared" in report.agreement(entry)


def test_the_table_is_in_milliseconds_per_image_and_epsilon(entry):
    table = report.speed_table(entry).set_index("side")
    assert table.loc["foolbox, as documented", "ms per image and ε"] == "131.2"  # 21 s / 160
    assert table.loc["foolbox, as documented", "× this library"] == "10.00"
    assert table.loc["bare passes, fastest layout", "equal"] == "–"
    assert table.index[0].startswith("bare passes")


def test_the_layout_is_worth_the_ratio_of_the_passes(entry):
    assert "(batch 50, NCHW, 2 threads) takes 9.0 ms, 4.5 times as long" in report.layouts(entry)


def test_the_cost_of_a_validation_set_follows_from_the_rates(entry):
    hours = report.cost_table(entry).set_index("machine")["hours"]
    here = 2.1 / 10 * 25 / 17 * 50_000 / 3600
    assert hours["2 cores, this machine"] == f"{here:.2g}"
    assert hours["1 core"] == f"{here * 1.5:.2g}"
    assert hours["16 cores"] == f"{here * 1.5 / 16:.2g}"
    assert hours["one GPU"] == "not measured"


def test_extras_say_what_they_change_or_why_they_did_not_run(entry):
    table = report.extras_table(entry).set_index("pass")
    assert table.loc["bfloat16"].tolist() == ["2.0", "0.50", "3 of 160"]
    assert table.loc["torch.compile", "changed predictions"] == "did not run: no compiler"


def test_what_is_faster_is_named_with_what_it_changes(entry):
    text = report.extras_reading(entry)
    assert "bfloat16 is faster, but changes 3 of 160 predictions" in text
    assert "NCHW saves 25% and changes no prediction here; its first round took 7 s" in text
    entry["extras"] = [row for row in entry["extras"] if row["name"] == "as it is used"]
    assert report.extras_reading(entry) == "None of them is faster by more than 5%."


def test_a_busy_machine_is_told(entry):
    assert "otherwise idle (load 0.5 before the start)" in report.circumstances(entry)
    assert "**The machine was busy**" in report.circumstances(entry | {"load_before": 1.5})


def test_the_rate_is_a_share_of_the_floor(entry):
    said = report.rate(entry)
    assert said.startswith("This library judges 76 attacked images per second, 95%")
    # 10 images of 5 ms on two cores are 25 ms of 2.1 s; what is left is 1.04 times 2 s.
    assert "takes 1% of its time (5.0 ms of one core for each)" in said
    assert "its time would be 1.04 × theirs" in said


def test_scale_says_how_memory_and_cost_grow(entry):
    text = report.scale(entry)
    assert "From 10 to 2,000 images, 200 times as many" in text
    assert "400 to 400 MB (+0%)" in text
    assert "10.0 ms at 100, 10.0 ms at 2,000" in text
    assert "from 302 to 332 MB (+10%)" in text


@pytest.mark.parametrize("draw", [drawings.layouts, drawings.sides, drawings.scale])
def test_figures_tell_their_numbers_in_the_alt_text(entry, draw):
    with figures.style():
        _, alt = draw(entry)
    said = {
        "layouts": "2.0 at 1, 4.0 at 50",
        "sides": "foolbox, as documented 131.2",
        "scale": "2,000",
    }
    assert said[draw.__name__] in alt


def test_a_record_is_kept_by_profile(entry, tmp_path, monkeypatch):
    monkeypatch.setenv("FGSM_BUILD", str(tmp_path))
    record.keep("demo", entry)
    record.keep("mine", entry | {"title": "mine"})
    kept, here = record.read()
    assert here
    assert [kept[name]["title"] for name in ("demo", "mine")] == ["toys", "mine"]
    assert [path.name for path in tmp_path.iterdir()] == ["bench.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "[1]", '{"demo": {}}', '{"demo": {"sides": []}}'])
def test_a_damaged_record_is_named(tmp_path, monkeypatch, text):
    monkeypatch.setenv("FGSM_BUILD", str(tmp_path))
    (tmp_path / "bench.json").write_text(text)
    with pytest.raises(InputError, match=r"bench\.json: not a record"):
        record.read()


def test_without_a_measurement_the_shipped_record_is_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("FGSM_BUILD", str(tmp_path))
    shipped, here = record.read()
    assert not here
    assert "demo" in shipped
    assert json.loads(record.SHIPPED.read_text()) == shipped


def test_everything_that_is_measured_can_be_reported(study, monkeypatch, tmp_path):
    """A whole measurement, as small as it can be, and everything the page makes of it."""
    monkeypatch.setenv("FGSM_BUILD", str(tmp_path))
    monkeypatch.setitem(passes.BATCHES, "cpu", (1, 4))
    monkeypatch.setattr(torch, "compile", lambda module, **options: module)  # takes half a minute
    torch.set_num_threads(2)
    parts = []
    for entry in record.measure(study, images=4, rounds=1):
        record.keep("nips2017", entry)
        parts.append(record.read()[0]["nips2017"])
    interrupted, entry = parts
    assert "extras" not in interrupted
    assert report.rate(interrupted) == report.rate(entry)
    assert report.agreement(entry).startswith("All")
    ours = report.side(entry, "this library")["layout"]
    assert ours["workers"] * ours["threads"] == entry["cores"] == 2
    assert len(report.speed_table(entry)) == 3 + 2 * len(contenders.installed())
    assert all(np.isfinite(goal.ratio) for goal in report.goals(entry))
    assert report.circumstances(entry) and report.layouts(entry)
    assert len(report.extras_table(entry)) == 5
    assert report.extras_reading(entry) and report.rate(entry)


@pytest.mark.slow
def test_memory_does_not_grow_with_images_or_epsilons(tmp_path, monkeypatch):
    """Each a process of its own, on the demo pictures of a build."""
    build = Path(__file__).parents[1] / "_build"
    if not (build / "demo" / "data").exists():
        pytest.skip("needs the demo pictures: make site")
    monkeypatch.setenv("FGSM_BUILD", str(build))
    few, many_images, many_epsilons = (
        scale.sweep_in_a_process(tmp_path, images, epsilons)["peak_bytes"]
        for images, epsilons in ((100, 2), (1500, 2), (100, 64))
    )
    assert many_images < 1.05 * few
    assert many_epsilons < 1.1 * few
