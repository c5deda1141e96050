"""What the ε slider of a case study shows: one stop for each ε of the grid.

The page swaps finished pictures, so that a reader sees the very 8-bit images and needs no
kernel: the files are lossless, and a browser fetches those of one ε when the reader gets there.
"""

import hashlib
import io
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from fgsm_lib.cases import Case
from fgsm_lib.perception import to_uint8


@dataclass(frozen=True)
class Guess:
    """A class that the classifier considers, its probability, and whether it is the label."""

    name: str
    probability: float
    true: bool


@dataclass(frozen=True)
class Stop:
    """Pictures and predictions at one ε. Pictures are uint8 (H, W, 3).

    ``perturbation`` is x̃ - x around middle gray, ``amplified`` times. ``control`` is the step of
    the same size along random signs. The top-5 lists are of the images before they are rounded
    to 8 bits; where ``rounds_away`` is true, the rounded image is the clean one again.
    """

    epsilon_255: float
    adversarial: np.ndarray
    perturbation: np.ndarray
    control: np.ndarray
    amplified: float
    rounds_away: bool
    top5: list[Guess]
    control_top5: list[Guess]


def stops(case: Case) -> list[Stop]:
    """The slider's stops, in the order of the case's grid of ε."""
    return [_stop(case, epsilon) for epsilon in case.table["epsilon_255"]]


def _stop(case: Case, epsilon_255: float) -> Stop:
    adversarial = case.adversarial(epsilon_255)
    amplified = amplification(epsilon_255)
    rounded = to_uint8(adversarial)
    return Stop(
        epsilon_255=epsilon_255,
        adversarial=rounded,
        perturbation=around_gray(adversarial - case.image, amplified),
        control=to_uint8(case.random(epsilon_255)),
        amplified=amplified,
        rounds_away=epsilon_255 > 0 and np.array_equal(rounded, to_uint8(case.image)),
        top5=_guesses(case, case.table, epsilon_255),
        control_top5=_guesses(case, case.control, epsilon_255),
    )


def amplification(epsilon_255: float) -> float:
    """The factor that stretches a step of ε to the whole range of a picture around its gray."""
    return 127 / epsilon_255 if epsilon_255 else 1.0


def around_gray(difference: torch.Tensor, amplified: float) -> np.ndarray:
    """A difference of images, float (3, H, W), as a picture: 0 is gray 128, ±127/255 black/white.

    Returns uint8 (H, W, 3).
    """
    gray = (difference.detach() * 255 * amplified + 128).round().clamp(0, 255)
    return gray.to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def _guesses(case: Case, table, epsilon_255: float) -> list[Guess]:
    row = table[table["epsilon_255"] == epsilon_255].iloc[0]
    return [
        Guess(case.class_name(index), float(value), bool(index == case.photo.label))
        for index, value in zip(row["top5_classes"], row["top5_confidences"], strict=True)
    ]


def lossless(pixels: np.ndarray) -> bytes:
    """A picture, uint8 (H, W, 3), as a WebP file that holds exactly these pixels."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", lossless=True, quality=50, method=3)
    return file.getvalue()


def file_name(sample: int, file: bytes) -> str:
    """What a picture of a sample is called: equal contents, equal name."""
    return f"{sample}-{hashlib.sha256(file).hexdigest()[:12]}.webp"


def packed(case: Case, start_255: float) -> tuple[dict, dict[str, bytes]]:
    """The slider as data for a page, and the picture files that the data name.

    ``start_255`` is the ε that is shown first. Equal pictures are one file.
    """
    files: dict[str, bytes] = {}

    def named(pixels: np.ndarray) -> str:
        file = lossless(pixels)
        name = file_name(case.photo.sample, file)
        files[name] = file
        return name

    entries = [
        {
            "epsilon": stop.epsilon_255,
            "value": _value_text(stop),
            "summary": _summary(stop),
            "pictures": [
                {"what": what, "file": named(pixels), "title": title, "text": text, "alt": alt}
                for what, pixels, (title, text, alt) in _pictures(stop)
            ],
            "top5": [_plain(guess) for guess in stop.top5],
            "control": _plain(stop.control_top5[0]),
        }
        for stop in stops(case)
    ]
    epsilons = [entry["epsilon"] for entry in entries]
    height, width = case.image.shape[1:]
    data = {
        "start": epsilons.index(start_255),
        "label": case.class_name(case.photo.label),
        "width": width,
        "height": height,
        "stops": entries,
    }
    return data, files


def _pictures(stop: Stop) -> list[tuple[str, np.ndarray, tuple[str, str, str]]]:
    """Name and pixels of each picture of a stop; with its title, the line below, and alt text."""
    epsilon = f"ε = {stop.epsilon_255:g}/255"
    if stop.epsilon_255 == 0:
        seen = _seen(stop.top5)
        clean = ("clean image", seen, f"The clean image, classified as {seen}.")
        gray = ("perturbation", "nothing is added", "A gray picture: no perturbation at ε = 0.")
        same = ("random signs (control)", seen, f"The clean image again, classified as {seen}.")
        texts = clean, gray, same
    else:
        seen, control = _seen(stop.top5), _seen(stop.control_top5)
        factor = f"amplified {_rounded(stop.amplified)} ×"
        texts = (
            ("adversarial image", seen, f"The image after a step of {epsilon}: {seen}."),
            ("perturbation", factor, f"The perturbation at {epsilon}, colored noise, {factor}."),
            (
                "random signs (control)",
                control,
                f"The image after a step of {epsilon} along random signs: {control}.",
            ),
        )
    pixels = {
        "adversarial": stop.adversarial,
        "perturbation": stop.perturbation,
        "control": stop.control,
    }
    return [(what, array, text) for (what, array), text in zip(pixels.items(), texts, strict=True)]


def _seen(guesses: list[Guess]) -> str:
    return f"{guesses[0].name}, {guesses[0].probability:.1%}"


def _value_text(stop: Stop) -> str:
    """What a screen reader says for a position of the slider: "ε = 4/255, sock 31%"."""
    first = stop.top5[0]
    return f"ε = {stop.epsilon_255:g}/255, {first.name} {first.probability * 100:.0f}%"


def _summary(stop: Stop) -> str:
    """One sentence on a stop: what is seen, whether that is right, and what the control does."""
    if stop.epsilon_255 == 0:
        return f"The clean image: {_seen(stop.top5)} ({_verdict(stop.top5)})."
    text = (
        f"At ε = {stop.epsilon_255:g}/255 the classifier sees {_seen(stop.top5)} "
        f"({_verdict(stop.top5)}); after random signs of the same size "
        f"{_seen(stop.control_top5)} ({_verdict(stop.control_top5)})."
    )
    if stop.rounds_away:
        text += (
            " The step is too small for a picture of 8 bits: what you see is the clean image, "
            "what is classified is the image before rounding."
        )
    return text


def _verdict(guesses: list[Guess]) -> str:
    return "correct" if guesses[0].true else "wrong"


def _plain(guess: Guess) -> list:
    return [guess.name, round(guess.probability, 5), guess.true]


def _rounded(factor: float) -> str:
    return f"{factor:.0f}" if factor >= 10 else f"{factor:.2g}"
