"""What the pages tell about the demo set, beyond what they tell about any set."""

import json
from pathlib import Path

import pandas as pd

from fgsm_lib.demo.images import CLASS_NAMES
from fgsm_lib.demo.roles import ROLES_FILE

CARD_FACTS = Path(__file__).with_name("model_card.json")
CARD_PAGE = Path(__file__).with_name("MODEL_CARD.md")


def model_card() -> str:
    """The model card as Markdown without headings, to be put into a page."""
    lines = CARD_PAGE.read_text(encoding="utf-8").splitlines()
    body = [f"**{line.lstrip('# ')}**" if line.startswith("#") else line for line in lines[1:]]
    return "\n".join(body).strip()


def role_sentence(sample: int) -> str:
    """Why this picture stands at the number of a case study; empty for any other."""
    roles = json.loads(ROLES_FILE.read_text(encoding="utf-8"))
    role = roles.get(str(sample))
    if role is None:
        return ""
    return (
        f"In the demo set, this picture plays the part of the original page's sample {sample}. It "
        f"was chosen by a rule: {role['reason']}."
    )


def confusion(clean: pd.DataFrame, word: int) -> pd.DataFrame:
    """Which pattern (word 0) or shape (word 1) was seen in which: counts, truth by row.

    Class names are "<pattern> <shape>".
    """
    names = pd.Series([name.split()[word] for name in CLASS_NAMES])
    truth = clean["label"].map(names).rename("truth")
    seen = clean["predicted_class"].map(names).rename("seen")
    order = list(dict.fromkeys(names))
    return pd.crosstab(truth, seen).reindex(index=order, columns=order, fill_value=0)


def training_sentence() -> str:
    """How the demo classifier was made, with the numbers of its model card."""
    facts = json.loads(CARD_FACTS.read_text(encoding="utf-8"))
    training = facts["training"]
    attack = max(stage["attack_255"] for stage in training["stages"])
    steps = sum(stage["steps"] for stage in training["stages"])
    return (
        f"The weights were trained by this project, in {steps} steps, on generated pictures of "
        "another seed. In the last stage the network also saw FGSM copies of its pictures, with ε "
        f"up to {attack:g}/255: **light adversarial training**. Without it, a small network on "
        "generated pictures loses nearly every one at the smallest visible step, and there would "
        "be nothing to compare. What this build finds says something about the method, and nothing "
        "about how robust an ImageNet classifier is."
    )
