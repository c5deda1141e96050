"""The model card of the demo classifier: facts in JSON, and a page made from them."""

import json
from pathlib import Path

WEIGHTS_FILE = Path(__file__).with_name("mobilenet_v3_small-toys.safetensors")
FACTS = "model_card.json"
PAGE = "MODEL_CARD.md"


def update_card(folder: Path, **facts: object) -> None:
    """Replace some facts, keep the others, and rewrite the page once all of them are there."""
    path = folder / FACTS
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known.update(facts)
    path.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    if {"training", "measured"} <= known.keys():
        (folder / PAGE).write_text(card_text(known), encoding="utf-8")


def card_text(facts: dict) -> str:
    """The page, in Markdown. Every number in it comes from ``facts``."""
    training, measured = facts["training"], facts["measured"]
    return _TEMPLATE.format(
        architecture=facts["architecture"],
        file=facts["weights"]["file"],
        megabytes=facts["weights"]["bytes"] / 1e6,
        sha256=facts["sha256"],
        temperature=training["temperature"],
        weight_decay=training["weight_decay"],
        attack=max(stage["attack_255"] for stage in training["stages"]),
        stages=_stage_rows(training["stages"]),
        networks=_networks(training),
        generator=training["generator"],
        torch=training["torch"],
        remark=training["remark"],
        before=training["validation_before_last_stage"]["top1_attacked"],
        after=training["validation"]["top1_attacked"],
        validation_top1=training["validation"]["top1"],
        validation_pictures=training["validation"]["pictures"],
        images=measured["images"],
        top1=measured["top1"],
        top5=measured["top5"],
        confidence=measured["mean_confidence"],
        shape=measured["shape_correct"],
        pattern=measured["pattern_correct"],
        bins=_bin_rows(measured["bins"]),
        attacked=_attack_rows(measured["top1_under_fgsm"]),
        largest=measured["largest_epsilon_255"],
        correct=measured["initially_correct"],
        never=measured["never_fooled"],
        returning=measured["lost_and_back"],
        confident=measured["confident"],
        confident_never=measured["confident_never_fooled"],
    )


def _stage_rows(stages: list[dict]) -> str:
    rows = []
    for stage in stages:
        copies = f"ε up to {stage['attack_255']:g}/255" if stage["attack_255"] else "–"
        pictures = f"{stage['count']} at {stage['size']} px"
        work = f"{stage['steps']} × {stage['batch']}"
        cells = (stage["name"], pictures, f"{stage['crop']} px", work, f"{stage['rate']:g}", copies)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _networks(training: dict) -> str:
    if training["networks_trained"] == 1:
        return "One network was trained."
    return (
        f"{training['networks_trained']} networks were trained; the one with the lowest loss on "
        "the validation split was kept."
    )


def _bin_rows(bins: dict[str, int]) -> str:
    return "\n".join(f"| {name}% | {count} |" for name, count in bins.items())


def _attack_rows(top1: dict[str, float]) -> str:
    return "\n".join(f"| {epsilon}/255 | {value:.3f} |" for epsilon, value in top1.items())


_TEMPLATE = """\
# Model card: the toy classifier

Made by `python -m fgsm_lib.demo.train` from `model_card.json`; do not edit by hand.

|  |  |
|---|---|
| What it does | names the shape and the pattern of a toy: 10 shapes × 5 patterns = 50 classes |
| Architecture | torchvision's `{architecture}` |
| Weights | `{file}`, float16 safetensors, {megabytes:.2f} MB |
| SHA-256 | `{sha256}` |
| Input | RGB, resized to 256 pixels, center crop of 224, ImageNet mean and standard deviation |
| Output | 50 logits, in the order of `categories.csv` |

## What it is for, and what not

It lets this site be built, and read, where no photographs and no pretrained network are at hand.
It knows nothing but the generated pictures of this project. Its numbers say something about the
*method*, and nothing about how robust an ImageNet classifier is.

## It has had light adversarial training

In its last stage the network saw, beside each picture, an FGSM copy of it with ε drawn uniformly
from 0 to {attack:g}/255. A small network on generated pictures is very fragile without it: on the
validation split, an FGSM step of 1/255 left {before:.3f} of the pictures correct before this stage,
and {after:.3f} after it. At the first value there is no difference between confident and unsure
pictures left to look at. Photographs and ImageNet classifiers need no such help, and their numbers
are not to be compared with those below.

## How it was trained

| stage | pictures | crop | steps × batch | learning rate | FGSM copies |
|---|---|---|---|---|---|
{stages}

AdamW, weight decay {weight_decay}, a linear warm-up and a cosine; random crops and flips. In the
first stage easy pictures come first. Then all logits are divided by {temperature} (folded into the
last layer). This makes the network less sure than it could be, so that its confidences spread over
all bins, as those of an ImageNet classifier do.
{networks} Training, validation and the {images} pictures below come from
three different seeds; nothing was chosen on the {images}.

Generator of the pictures: `{generator}`. torch {torch}.
{remark}

## How well it does

On the {images} pictures of the demo set (on the {validation_pictures} of the validation split:
top-1 {validation_top1:.3f}):

| | |
|---|---|
| top-1 | {top1:.3f} |
| top-5 | {top5:.3f} |
| mean confidence | {confidence:.3f} |
| shape correct | {shape:.3f} |
| pattern correct | {pattern:.3f} |

| confidence | pictures |
|---|---|
{bins}

Under FGSM (cross-entropy, in pixel space, one step):

| ε | top-1 |
|---|---|
{attacked}

Of {correct} pictures that are classified correctly at first, {never} are never fooled up to
ε = {largest:g}/255, and {returning} are lost and come back at a larger ε. Of {confident} that begin
with a confidence of at least 0.9, {confident_never} are never fooled.

## Limits

It knows one toy at a time, generated as in `fgsm_lib/demo`, and calls anything else a toy too.
Random numbers and rounding differ between versions of torch and between devices: a new training
gives other weights of the same kind, and with them another numbering of the three case studies
(`roles.json`).
"""
