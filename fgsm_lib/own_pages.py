"""The two pages of a study of one's own, as one call each: a case study and the hypothesis."""

from fgsm_lib import analysis, figures, figures_survival, survival, survival_wording, wording
from fgsm_lib.cases import open_case
from fgsm_lib.display import say, show, show_table
from fgsm_lib.study import Study

# (low, high] of the clean confidence. The bins of the original leave gaps; these hold every image.
BINS = ((0.95, 1.0), (0.8, 0.95), (0.6, 0.8), (0.0, 0.6))


def show_case(study: Study, sample: int, epsilon_255: float = 6) -> None:
    """One image before and after a step, its curve over ε with the control, and the top five."""
    case = open_case(study, sample)
    say(wording.case_start(case))
    show(
        figures.triple,
        case,
        epsilon_255,
        name=f"fig-own-triple-{sample}",
        caption=f"Sample {sample}, the sign of the gradient, and the image after a step of "
        f"{epsilon_255:g}/255 along it.",
    )
    show(
        figures.case_curve,
        case,
        name=f"fig-own-curve-{sample}",
        caption="Confidence of the predicted class over ε, with random signs as control.",
    )
    say(wording.case_reading(case))
    telling = wording.telling_epsilon(case)
    show(
        figures.top5_bars,
        case,
        [0, telling],
        name=f"fig-own-top5-{sample}",
        caption=f"The most probable classes on the clean image and at ε = {telling:g}/255, "
        f"{wording.telling_reason(case)}.",
    )


def show_hypothesis(study: Study) -> None:
    """Is a higher clean confidence harder to fool? Accuracy over ε, the verdict, the survival."""
    table, minimal = study.table, study.minimal
    correct = analysis.initially_correct(table)
    show_table(
        analysis.clean_summary(table),
        name="tab-own-clean",
        caption=f"The classifier on the {len(study.dataset)} clean images.",
    )
    if len(correct):
        show(
            figures.rates,
            analysis.curve(table, correct),
            analysis.curve(study.control, correct),
            what=f"The {len(correct)} initially correct images",
            name="fig-own-rates",
            caption="Top-1 and top-5 accuracy and mean confidence over ε of the "
            f"{len(correct)} initially correct images, with 95% intervals.",
        )
    say(wording.verdict_sentence(survival.judge(minimal), study.profile.every_minimal))
    groups = survival.by_bin(minimal, BINS)
    if any(map(len, groups.values())):
        show(
            figures_survival.survival,
            groups,
            survival.by_bin(survival.under_random_signs(study.control, minimal), BINS),
            table["epsilon_255"].max(),
            name="fig-own-survival",
            caption="Share of the initially correct images not yet fooled over ε, by clean "
            "confidence; below, the same under random signs.",
        )
    say(survival_wording.survival_reading(minimal, BINS))
