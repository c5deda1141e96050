"""What readers read: numbers, names and faults as texts, Markdown for a page and for Jupyter."""

import html
import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from fgsm_lib.profiles import Profile

NETWORKS = {
    "efficientnet_lite0": "EfficientNet-Lite0",
    "efficientnet_lite1": "EfficientNet-Lite1",
    "googlenet": "GoogLeNet",
    "mobilenet_v3_small": "MobileNetV3-small",
    "squeezenet1_0": "SqueezeNet 1.0",
}


def number(value: float, digits: int = 2, sign: str = "-") -> str:
    """``"−0.25"`` with a real minus sign, never ``"−0.00"``; ``sign="+"`` for ``"+0.25"``, too."""
    if not math.isfinite(value):
        return "–" if math.isnan(value) else "∞" if value > 0 else "−∞"
    return f"{value:{sign}z.{digits}f}".replace("-", "−")


def brief(value: float) -> str:
    """A number with as many digits as one reads: "0.93", "12.4", "1,840", "3e−05"."""
    size = abs(value)
    form = ".1g" if 0 < size < 0.005 else f",.{2 if size < 10 else 1 if size < 100 else 0}f"
    return f"{value:z{form}}".replace("-", "−")


def percent(value: float, digits: int = 0) -> str:
    """``"24%"`` for 0.24."""
    return f"{number(value * 100, digits)}%"


def eps(epsilon_255: float) -> str:
    """``"4/255"``, ``"0.5/255"``."""
    return f"{epsilon_255:g}/255"


def upto(table: "pd.DataFrame") -> str:
    """The range of a table, to be said with "fooled" and "never": ``"to 20/255"``."""
    return f"to {eps(table['epsilon_255'].max())}"


def interval_text(low: float, high: float, digits: int = 2) -> str:
    """``"0.14–0.37"``; ``"−0.10 to 0.37"`` where a dash would read as a minus sign."""
    return f"{number(low, digits)}{' to ' if low < 0 else '–'}{number(high, digits)}"


def estimate_text(value: float, low: float, high: float, digits: int = 2) -> str:
    """``"0.40 (0.29–0.52)"``, a value with its interval."""
    return f"{number(value, digits)} ({interval_text(low, high, digits)})"


def short_name(class_name: str) -> str:
    """The first synonym of an ImageNet class name: "barrel" for "barrel, cask"."""
    return class_name.split(",")[0].strip()


def network_name(arch: str) -> str:
    """An architecture as it is written: "EfficientNet-Lite0" for "efficientnet_lite0"."""
    return NETWORKS.get(arch, arch)


def taken_on(profile: "Profile", count: int) -> str:
    """What the numbers of a page are taken on: pictures, classifier, and what it was trained to."""
    trained = f", which had {profile.training}" if profile.training else ""
    return f"{count} pictures ({profile.title}) and {network_name(profile.arch)}{trained}"


def first_line(error: BaseException) -> str:
    """What an error says first, of a file the reason alone; its kind where it says nothing."""
    said = (getattr(error, "strerror", None) or str(error)).strip()
    return said.splitlines()[0] if said else type(error).__name__


def escape(text: str) -> str:
    """A name from outside on one line of Markdown, in which no markup survives."""
    text = re.sub(r"([\\`*_{}\[\]|$~:])", r"\\\1", " ".join(text.split()))
    return html.escape(text, quote=False)


def readable(text: str) -> str:
    """MyST Markdown without its roles and directives, for Jupyter: "{term}`logits`" is "logits"."""
    text = re.sub(r"\{eq\}`eq-(\d+)-(\d+)`", r"(\1.\2)", text)
    text = re.sub(r"\{cite[:\w]*\}`([^`]+)`", lambda match: _cited(match[1]), text)
    text = re.sub(r"\{[\w:-]+\}`([^`<]+?)\s*<[^`>]*>`", r"\1", text)  # {role}`text <target>`
    text = re.sub(r"\{[\w:-]+\}`([^`]*)`", r"\1", text)
    text = re.sub(r"^[:`]{3,}\{[\w-]+\} *(.*)$", r"**\1**", text, flags=re.MULTILINE)
    text = re.sub(r"^(\*{4}|:{3,}|`{4,}|\([\w-]+\)=)$\n?", "", text, flags=re.MULTILINE)
    return re.sub(r'<a href="#[^>]*>(.*?)</a>', r"\1", text)  # what moves a slider of the site


def _cited(keys: str) -> str:
    """Keys of the bibliography as names: "goodfellow2015" is "Goodfellow 2015"."""
    return ", ".join(
        re.sub(r"(\d{4})", r" \1", key.strip().capitalize()) for key in keys.split(",")
    )
