"""The ε slider: one picture under attack, at every ε of its grid.

The page computes the pictures itself, from the clean picture and one bit a channel for each of two
directions, the gradient's sign and the control's: exactly those that a file of 8 bits would hold
(``book/_static/pixels.js``). What the classifier sees in them comes along, as does every sentence.
"""

import html
import io
import json
from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from fgsm_lib import InputError
from fgsm_lib.perception import to_uint8

if TYPE_CHECKING:
    from fgsm_lib.study import Case


@dataclass(frozen=True)
class Widget:
    """Something on a page that a script of the site brings to life; ``show`` shows it.

    ``markup`` is the inside of its figure in HTML. ``files`` are contents by name; where a quoted
    name stands in the markup, the file's address will stand. ``still`` is a PNG file for Jupyter,
    and ``text`` says in words what one sees.
    """

    markup: str
    text: str
    files: dict[str, bytes] = field(default_factory=dict)
    still: bytes = b""


def slider(case: "Case", start: float, *, hero: bool = False) -> Widget:
    """The ε slider of a case.

    Args:
        case: The picture under attack, its table and its control.
        start: The ε in 1/255 that is shown first, and alone where no script runs.
        hero: As the first thing on a page: the pictures are those of x + ε·sign = x̃, random signs
            come by a button, and the script begins at ε = 0.

    Raises:
        InputError: The case has no such ε, or its pixels are not those of an 8-bit picture.
    """
    start = float(case.row(start)["epsilon_255"])  # refuses what is not on the grid
    grid = [float(epsilon) for epsilon in case.table["epsilon_255"]]
    stops = [_stop(case, epsilon, hero) for epsilon in grid]
    shown = stops[grid.index(start)]["signs"]
    pixels = [_drawn(case, picture["what"], start) for picture in shown["pictures"]]
    height, width = pixels[0].shape[:2]
    data = {"start": 0 if hero else grid.index(start), **picture_data(case), "stops": stops}
    stills = {f"{place}.webp": lossless(picture) for place, picture in enumerate(pixels)}
    script = f"fgsm.slide(document.currentScript.parentElement, {json.dumps(data)});\n"
    return Widget(
        markup=_markup(shown, hero, len(grid), f'width="{width}" height="{height}"'),
        text=shown["summary"],
        files={"data.js": script.encode(), **stills},
        still=encoded(np.hstack(pixels), "PNG"),
    )


# --- what is seen at one ε -----------------------------------------------------------------------


def _stop(case: "Case", epsilon: float, hero: bool) -> dict:
    """What the page shows at one ε, for the attack ("signs") and for random signs ("control")."""
    views = {"signs": _guesses(case, case.table, epsilon)}
    views["control"] = _guesses(case, case.control, epsilon)
    before = _guesses(case, case.table, 0)[0]
    summary = _summary(case, epsilon, *(guesses[0] for guesses in views.values()))
    stop = {"epsilon": epsilon}
    for direction, guesses in views.items():
        name, probability, right = guesses[0]
        note = f"before: {_seen(before)}" if epsilon else "the clean picture"
        stop[direction] = {
            "top": guesses,
            "verdict": f"{_word(right)}{'; ' if epsilon else ': '}{note}",
            "value": f"ε = {epsilon:g}/255, {name} {100 * probability:.0f}%",
            "summary": summary,
            "pictures": _pictures(epsilon, direction, views, before, hero),
        }
    return stop


def _guesses(case: "Case", table, epsilon: float) -> list[list]:
    """The most probable classes, as [name, probability, whether it is the label]."""
    row = table[table["epsilon_255"] == epsilon].iloc[0]
    return [
        [case.name(index), round(float(probability), 5), bool(index == case.picture.label)]
        for index, probability in zip(row["top_classes"], row["top_confidences"], strict=True)
    ]


def _word(right: bool) -> str:
    return "right" if right else "wrong"


def _seen(guess: list) -> str:
    return f"{guess[0]}, {guess[1]:.1%}"


def _summary(case: "Case", epsilon: float, attack: list, control: list) -> str:
    """What is seen, whether that is right, and what the control does, in one sentence."""
    attack, control = (f"{_seen(guess)} ({_word(guess[2])})" for guess in (attack, control))
    if not epsilon:
        return f"The clean image: {attack}."
    text = (
        f"At ε = {epsilon:g}/255 the classifier sees {attack}; after random signs of the same "
        f"size {control}."
    )
    if not case.direction.any():
        return f"{text} Its gradient is zero everywhere: it was not attacked."
    if epsilon < 0.5 and np.array_equal(to_uint8(case.adversarial(epsilon)), to_uint8(case.image)):
        text += (
            " The step is too small for a picture of 8 bits: what you see is the clean image, "
            "what is classified is the image before rounding."
        )
    return text


def _pictures(epsilon: float, direction: str, views: dict, before: list, hero: bool) -> list[dict]:
    """Three pictures with title, line below and alt text; ``what`` says how they are drawn."""

    def picture(what: str, title: str, seen: str, alt: str) -> dict:
        return {"what": what, "title": title, "seen": seen, "alt": f"{alt}: {seen}."}

    def image(direction: str, title: str) -> dict:
        signs = "the gradient's signs" if direction == "signs" else "random signs"
        alt = f"The picture after a step of ε = {epsilon:g}/255 along {signs}"
        return picture(f"image {direction}", title, _seen(views[direction][0]), alt)

    title = f"+ ε · {'sign(∇J)' if direction == 'signs' else 'random signs'}"
    factor = f"amplified {_amplification(epsilon):,.0f}×" if epsilon else "nothing is added"
    alt = "The perturbation around gray, colored noise"
    step = picture(f"step {direction}", title if hero else "the step", factor, alt)
    if not hero:
        return [image("signs", "after the step"), step, image("control", "random signs")]
    clean = picture("clean", "the picture, x", _seen(before), "The clean picture")
    return [clean, step, image(direction, "= x̃")]


# --- pixels --------------------------------------------------------------------------------------


def picture_data(case: "Case") -> dict:
    """What a page computes the pictures of a case from: ``fgsm.painter`` draws them.

    Raises InputError where its pixels are not those of an 8-bit picture.
    """
    clean, levels = to_uint8(case.image), 255 * case.image
    if not torch.equal(levels, levels.round()):
        raise InputError(f"{case.picture.name}: its pixels are not whole levels of 255.")
    bounds = [torch.as_tensor(bound).float().flatten().expand(3) for bound in case.bounds]
    return {
        "clean": "data:image/webp;base64," + b64encode(lossless(clean)).decode(),
        "bounds": torch.stack(bounds, dim=1).tolist(),  # the two of each channel
        "directions": {"signs": _bits(case.direction), "control": _bits(case.random_direction)},
    }


def _bits(direction: torch.Tensor) -> list[str]:
    """A direction, (C, H, W) in {-1, 0, 1}, as base64 of one bit a channel: where it is 1.

    A second plane says where it is 0, if it is anywhere.
    """
    values = direction.cpu().expand(3, -1, -1).permute(1, 2, 0).numpy().ravel()
    planes = [values > 0] + [values == 0] * bool((values == 0).any())
    return [b64encode(np.packbits(plane)).decode() for plane in planes]


def _drawn(case: "Case", what: str, epsilon: float) -> np.ndarray:
    """One of the pictures at an ε, uint8 (H, W, 3): a perturbation is drawn around gray."""
    kind, _, direction = what.partition(" ")
    if kind == "clean":
        return to_uint8(case.image)
    image = (case.adversarial if direction == "signs" else case.random)(epsilon)
    if kind == "image":
        return to_uint8(image)
    return to_uint8(128 / 255 + (image - case.image) * _amplification(epsilon))


def _amplification(epsilon: float) -> float:
    """The factor that stretches a step of ε/255 to the whole range of a picture around its gray."""
    return 127 / epsilon if epsilon else 1.0


def lossless(pixels: np.ndarray) -> bytes:
    """A picture, uint8 (H, W, 3), as a WebP file that holds exactly these pixels."""
    return encoded(pixels, "WEBP", lossless=True, method=4)


def encoded(pixels: np.ndarray, kind: str, **options) -> bytes:
    """A picture, uint8 (H, W, 3) or gray (H, W, 1), as a file of the kind that Pillow calls so."""
    buffer = io.BytesIO()
    colored = np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
    Image.fromarray(colored).save(buffer, kind, **options)
    return buffer.getvalue()


# --- HTML ----------------------------------------------------------------------------------------


def _markup(view: dict, hero: bool, stops: int, size: str) -> str:
    """What stands on the page before the script runs, and all there is where none runs."""
    (name, probability, right), *_ = view["top"]
    pictures = "".join(
        f'<div class="picture"><p class="title">{html.escape(picture["title"])}</p>'
        f'<canvas class="pst-js-only" {size} role="img" aria-label="{html.escape(picture["alt"])}">'
        f'</canvas><noscript><img src="{place}.webp" {size} alt="{html.escape(picture["alt"])}">'
        f'</noscript><p class="seen">{html.escape(picture["seen"])}</p></div>'
        for place, picture in enumerate(view["pictures"])
    )
    switch = '<button type="button" aria-pressed="false">random signs instead</button>'
    readings = '<div class="readings pst-js-only"></div>'
    return (
        f'<div class="epsilon-slider{" hero" if hero else ""}"><div class="stage">'
        f'<p class="verdict {_word(right)}"><span class="sign"></span>'
        f'<strong>{html.escape(name)}</strong> <span class="sure">{probability:.1%}</span> '
        f'<span class="note">{html.escape(view["verdict"])}</span></p>'
        f'<div class="pictures">{pictures}</div>'
        '<div class="control pst-js-only"><label>Size of the step: '
        f'<output></output><input type="range" min="0" max="{stops - 1}" disabled></label>'
        f"{switch if hero else ''}</div></div>"
        f'<p class="summary" aria-live="polite">{html.escape(view["summary"])}</p>'
        f'{"" if hero else readings}<script defer src="data.js"></script></div>'
    )
