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

import numpy as np
import torch
from PIL import Image

from fgsm_lib import InputError
from fgsm_lib.perception import to_uint8


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


def slider(case, start: float, *, hero: bool = False) -> Widget:
    """The ε slider of a ``study.Case``.

    Args:
        case: The picture under attack, its table and its control.
        start: The ε in 1/255 that is shown first, and alone where no script runs.
        hero: As the first thing on a page: the pictures are those of x + ε·sign = x̃, random signs
            come by a button, and the script begins at ε = 0.

    Raises:
        InputError: The case has no such ε, or its pixels are not those of an 8-bit picture.
    """
    grid = [float(epsilon) for epsilon in case.table["epsilon_255"]]
    if start not in grid:
        listed = ", ".join(f"{epsilon:g}" for epsilon in grid)
        raise InputError(f"start is {start!r}; expected an ε in 1/255 of the grid: {listed}.")
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


def _stop(case, epsilon: float, hero: bool) -> dict:
    """What the page shows at one ε, for the attack ("signs") and for random signs ("control")."""
    attack, control = (_guesses(case, table, epsilon) for table in (case.table, case.control))
    before = _guesses(case, case.table, 0)[0]
    views = {"signs": attack, "control": control}
    return {"epsilon": epsilon} | {
        direction: {
            "top": guesses,
            "verdict": _verdict(guesses[0], before, epsilon),
            "value": f"ε = {epsilon:g}/255, {guesses[0][0]} {100 * guesses[0][1]:.0f}%",
            "summary": _summary(case, epsilon, attack[0], control[0]),
            "pictures": _pictures(epsilon, direction, views, before, hero),
        }
        for direction, guesses in views.items()
    }


def _guesses(case, table, epsilon: float) -> list[list]:
    """The most probable classes, as [name, probability, whether it is the label]."""
    row = table[table["epsilon_255"] == epsilon].iloc[0]
    return [
        [case.name(index), round(float(probability), 5), bool(index == case.picture.label)]
        for index, probability in zip(row["top_classes"], row["top_confidences"], strict=True)
    ]


def _verdict(guess: list, before: list, epsilon: float) -> str:
    right = "right" if guess[2] else "wrong"
    return f"{right}: the clean picture" if not epsilon else f"{right}; before: {_seen(before)}"


def _seen(guess: list) -> str:
    return f"{guess[0]}, {guess[1]:.1%}"


def _summary(case, epsilon: float, attack: list, control: list) -> str:
    """What is seen, whether that is right, and what the control does, in one sentence."""
    said = [f"{_seen(guess)} ({'right' if guess[2] else 'wrong'})" for guess in (attack, control)]
    if not epsilon:
        return f"The clean image: {said[0]}."
    text = (
        f"At ε = {epsilon:g}/255 the classifier sees {said[0]}; after random signs of the same "
        f"size {said[1]}."
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
    factor = f"amplified {_amplification(epsilon):,.0f}×" if epsilon else "nothing is added"
    step = f"a step of ε = {epsilon:g}/255"
    names = {"signs": "the gradient's signs", "control": "random signs"}

    def image(direction: str, title: str) -> dict:
        seen = _seen(views[direction][0])
        alt = f"The picture after {step} along {names[direction]}: {seen}."
        return {"what": f"image {direction}", "title": title, "seen": seen, "alt": alt}

    title = f"+ ε · {'sign(∇J)' if direction == 'signs' else 'random signs'}"
    shown_step = {
        "what": f"step {direction}",
        "title": title if hero else "the step",
        "seen": factor,
        "alt": f"The perturbation around gray, colored noise: {factor}.",
    }
    if not hero:
        return [image("signs", "after the step"), shown_step, image("control", "random signs")]
    alt = f"The clean picture: {_seen(before)}."
    clean = {"what": "clean", "title": "the picture, x", "seen": _seen(before), "alt": alt}
    return [clean, shown_step, image(direction, "= x̃")]


# --- pixels --------------------------------------------------------------------------------------


def picture_data(case) -> dict:
    """What a page computes the pictures of a ``study.Case`` from: ``fgsm.painter`` draws them.

    Raises InputError where its pixels are not those of an 8-bit picture.
    """
    clean, levels = to_uint8(case.image), 255 * case.image
    if not torch.equal(levels, levels.round()):
        raise InputError(f"{case.picture.name}: its pixels are not whole levels of 255.")
    return {
        "clean": "data:image/webp;base64," + b64encode(lossless(clean)).decode(),
        "bounds": [[_channel(bound, c) for bound in case.bounds] for c in range(3)],
        "directions": {"signs": _bits(case.direction), "control": _bits(case.random_direction)},
    }


def _bits(direction: torch.Tensor) -> list[str]:
    """A direction, (C, H, W) in {-1, 0, 1}, as base64 of one bit a channel: where it is 1.

    A second plane says where it is 0, if it is anywhere.
    """
    values = direction.cpu().expand(3, -1, -1).permute(1, 2, 0).numpy().ravel()
    planes = [values > 0] + [values == 0] * bool((values == 0).any())
    return [b64encode(np.packbits(plane)).decode() for plane in planes]


def _channel(bound: torch.Tensor | float, channel: int) -> float:
    """The smallest or largest value of a channel; a gray picture's is that of all three."""
    values = torch.as_tensor(bound).flatten()
    return float(values[min(channel, len(values) - 1)])


def _drawn(case, what: str, epsilon: float) -> np.ndarray:
    """One of the pictures at an ε, uint8 (H, W, 3): a perturbation is drawn around gray."""
    kind, _, direction = what.partition(" ")
    if kind == "clean":
        return to_uint8(case.image)
    image = (case.adversarial if direction == "signs" else case.random)(epsilon)
    if kind == "image":
        return to_uint8(image)
    return to_uint8((128 / 255 + (image - case.image) * _amplification(epsilon)).clamp(0, 1))


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
        f'<p class="verdict {"right" if right else "wrong"}"><span class="sign"></span>'
        f'<strong>{html.escape(name)}</strong> <span class="sure">{probability:.1%}</span> '
        f'<span class="note">{html.escape(view["verdict"])}</span></p>'
        f'<div class="pictures">{pictures}</div>'
        '<div class="control pst-js-only"><label>Size of the step: '
        f'<output></output><input type="range" min="0" max="{stops - 1}" disabled></label>'
        f"{switch if hero else ''}</div></div>"
        f'<p class="summary" aria-live="polite">{html.escape(view["summary"])}</p>'
        f'{"" if hero else readings}<script defer src="data.js"></script></div>'
    )
