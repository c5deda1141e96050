"""The command ``fgsm``: attack a picture, compute a profile's tables, fetch the photographs.

A mistake of the user is one sentence, told before anything heavy is imported where it can be.
"""

import difflib
import itertools
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from fgsm_lib import InputError, __version__
from fgsm_lib.profiles import DEMO, build_folder, load_profile
from fgsm_lib.words import short_name

EPSILONS = "0.5 1 2 4 8"
ENOUGH = 10  # correctly classified pictures, which the pages of a site compare
EPILOG = """Exit status: 0 all is well, 1 something given cannot be used, 2 the command is not
written as it should be, 130 interrupted (Ctrl-C).

\b
Completion: eval "$(_FGSM_COMPLETE=bash_source fgsm)", or zsh_source, or fish_source."""
FILE = click.Path(path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


class Group(click.Group):
    """Tells a user's mistake, or a disk's, in one sentence without a traceback; exit status 1."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except InputError as error:
            said = str(error)
        except BrokenPipeError:  # `| head` has read enough; click ends without a word
            raise
        except OSError as error:
            said = f"{error.filename or 'the disk'}: {error.strerror or error}."
        click.echo(f"fgsm: {said}", err=True)
        sys.exit(1)


def numbers(context: click.Context, parameter: click.Parameter, text: str) -> list[float]:
    """Numbers above 0, in 1/255, separated by blanks or commas; sorted."""
    try:
        found = sorted({float(one) for one in re.split(r"[\s,]+", text.strip())})
    except ValueError:
        found = [0.0]
    if not all(0 < one <= 255 for one in found):
        raise click.BadParameter(
            f"{text!r}; expected numbers above 0 and up to 255, such as {EPSILONS!r}."
        )
    return found


def stop_at_once(message: str) -> None:
    """From now on Ctrl-C ends the process, whatever its threads are computing, with this message.

    Nothing is lost by it: files are written under another name and renamed.
    """

    def stop(*_) -> None:
        os.write(2, f"\nfgsm: {message}\n".encode())
        os._exit(130)

    signal.signal(signal.SIGINT, stop)


@click.group(cls=Group, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fgsm")
def main() -> None:
    """The Fast Gradient Sign Method. Start with `fgsm attack` and a photograph."""
    stop_at_once("interrupted.")


# --- attack --------------------------------------------------------------------------------------


@main.command()
@click.argument("picture", type=FILE)
@click.option("--target", metavar="CLASS", help="Step toward this class, not away from the seen.")
@click.option("--steps", default=1, show_default=True, type=click.IntRange(1, 1000))
@click.option("--epsilon", "epsilons", default=EPSILONS, show_default=True, callback=numbers)
@click.option("--arch", default="efficientnet_lite0", show_default=True, help="The network.")
@click.option("--weights", type=FILE, help="Its weights; torchvision's are downloaded without.")
@click.option("-o", "--output", type=FILE, help="A .png file for the adversarial picture.")
def attack(picture, target, steps, epsilons, arch, weights, output) -> None:
    """Attack a PICTURE, and say what the network sees before and after.

    Each pixel moves by at most epsilon, in 1/255. One step is FGSM; more are the Basic Iterative
    Method. The picture that --output saves, with a figure beside it, is that of the smallest
    epsilon that fools the network (with --target: hits) in the 8 bits of a file, or of the largest
    where none does, resized and cropped as the network wants.
    """
    if output:
        if output.suffix.lower() != ".png" or output.is_dir() or not output.parent.is_dir():
            raise InputError(f"--output is {output}; expected a .png file in a folder that exists.")
        figure = output.with_name(f"{output.stem}-figure.png")
        for path in (output, figure):
            if path.exists() and path.samefile(picture):
                raise InputError(
                    f"--output is {output}, which would overwrite {path}; expected another file."
                )
    from fgsm_lib.pictures import open_picture

    opened = open_picture(picture)  # before torch, which takes seconds to import
    from fgsm_lib import attacks
    from fgsm_lib.weights import load_classifier

    classifier = load_classifier(arch, weights=weights)
    image = classifier.to_pixels(opened)[None].to(classifier.device)
    goal = None if target is None else class_index(target, classifier.class_names)
    label = int(classifier(image).argmax()) if goal is None else goal
    gradient, _ = attacks.input_gradient(classifier, image, [label])
    if not gradient.any():
        raise InputError(
            f"{picture}: the gradient of {arch} is exactly zero, so there is no attack; expected a "
            "picture of which the network is less than perfectly sure."
        )
    direction = gradient.sign() if goal is None else -gradient.sign()
    moved = {0.0: image}
    for epsilon in epsilons:
        if steps == 1:  # one gradient, many epsilons
            moved[epsilon] = attacks.perturb(image, direction, epsilon / 255)
            continue
        size = min(epsilon, 2.5 * epsilon / steps) / 255  # enough to get anywhere, and back
        options = {"steps": steps, "step_size": size, "targeted": goal is not None}
        moved[epsilon] = attacks.pgd(classifier, image, [label], epsilon / 255, **options)
    answers = {epsilon: classifier(x).softmax(1)[0].detach() for epsilon, x in moved.items()}
    click.echo(f"{picture.name}, as {classifier.name} sees it\n")
    click.echo(answer_table(answers, classifier.class_names, goal))
    if output:
        for epsilon in epsilons:
            kept = attacks.eight_bit(moved[epsilon])
            hit = (int(classifier(kept).argmax()) == label) == (goal is not None)
            if hit:
                break
        save(output, figure, classifier, image, kept, epsilon)
        if not hit:
            done = "fools the network" if goal is None else "hits the target"
            click.echo(f"No epsilon of these {done} in 8 bits; this is the largest.")


def class_index(target: str, class_names: list[str]) -> int:
    """The class of which the target is the name or one of the synonyms, whatever its case."""
    known = {}
    for index, name in enumerate(class_names):
        for synonym in (name, *name.split(",")):
            known.setdefault(synonym.strip().lower(), index)
    wanted = target.strip().lower()
    if wanted not in known:
        close = [name for name in known if wanted in name][:3]
        close = close or difflib.get_close_matches(wanted, known) or [class_names[0]]
        raise InputError(
            f"--target is {target!r}, no class of this network; expected one such as "
            f"{', '.join(map(repr, close))}."
        )
    return known[wanted]


def seen(probabilities, class_names: list[str]) -> tuple[str, str]:
    """The most probable class by its first synonym, and its confidence."""
    return short_name(class_names[int(probabilities.argmax())]), f"{probabilities.max():.1%}"


def answer_table(answers: dict[float, object], class_names: list[str], goal: int | None) -> str:
    """What the network sees at each ε; with a goal, how probable that is, too."""
    columns = [
        ["epsilon", *(f"{epsilon:g}/255" if epsilon else "0" for epsilon in answers)],
        ["it sees", *(seen(one, class_names)[0] for one in answers.values())],
        ["confidence", *(seen(one, class_names)[1] for one in answers.values())],
    ]
    if goal is not None:
        columns.append(["target", *(f"{one[goal]:.1%}" for one in answers.values())])
    aligned = [[text.rjust(max(map(len, column))) for text in column] for column in columns]
    return "\n".join("   ".join(row) for row in zip(*aligned, strict=True))


def save(output: Path, figure: Path, classifier, image, kept, epsilon_255: float) -> None:
    """The adversarial picture as a PNG file of 8 bits, and a figure; what it sees in the file."""
    from PIL import Image

    from fgsm_lib import gallery

    Image.fromarray((kept[0] * 255).round().byte().permute(1, 2, 0).cpu().numpy()).save(output)
    names = [
        " ".join(seen(classifier(x).softmax(1)[0], classifier.class_names)) for x in (image, kept)
    ]
    titles = [f"clean\n{names[0]}", f"ε = {epsilon_255:g}/255, in 8 bits\n{names[1]}"]
    drawing = gallery.pictures([image[0].cpu(), kept[0].cpu()], titles, columns=2)
    drawing.savefig(figure, dpi=150, facecolor="white")
    click.echo(f"\n{output}: at {epsilon_255:g}/255, rounded to 8 bits: {names[1]}")
    click.echo(f"{figure}: before and after")


# --- tables and photographs ----------------------------------------------------------------------


@main.command()
@click.option("--profile", "name", default=DEMO, show_default=True, help="Its name or .toml file.")
@click.option("--data", type=FILE, help="A folder or a CSV file of pictures.")
@click.option("--weights", type=FILE, help="A weights file.")
@click.option("--arch", help="The network, e.g. efficientnet_lite0 or googlenet.")
@click.option("--scheduler", metavar="ADDRESS", help="Run on a Dask cluster: tcp://host:8786.")
@click.option("--batch", type=click.IntRange(1), help="Pictures a pass.")
@click.option("--workers", type=click.IntRange(1), help="Passes at the same time.")
@click.option("--all", "everything", is_flag=True, help="Every table that the site shows.")
@click.option("--case", "cases", multiple=True, metavar="SAMPLE", help="A case study's, too.")
@click.option("--offer", type=FOLDER, help="A folder for the tables, to hand on as single files.")
def sweep(name, data, weights, arch, scheduler, batch, workers, everything, cases, offer) -> None:
    """Attack every picture of a profile at every epsilon.

    The table is kept as Parquet files under _build/<profile>/tables. What is there is not computed
    again, so an interrupted sweep goes on where it stopped.
    """
    stop_at_once("interrupted; what is computed is kept, and the next run goes on from there.")
    profile = load_profile(name, data=data, weights=weights, arch=arch)
    for path in (profile.data, profile.weights):
        if path and not Path(path).exists():
            raise InputError(
                f"{path}: no such file or folder; the profile {profile.name} names it."
            )
    from fgsm_lib import offered
    from fgsm_lib.store import Machine
    from fgsm_lib.study import open_study  # torch: seconds to import

    study = open_study(profile, machine=Machine(batch, workers, scheduler))
    if everything:
        for one in (study, study.shown):
            for sample in one.profile.cases:
                one.picture(sample)  # or InputError, before anything is computed
        check_enough(study)
    for case in cases:  # a number is of its own pictures, a name of those it shows
        _ = study.case(int(case)) if case.isdecimal() else study.shown.case(case)
    for title, table in every_table(study) if everything else [("FGSM", study.table())]:
        click.echo(f"{title}: {len(table)} rows")
    if offer:
        for one in [study] if study.shown is study else [study, study.shown]:
            offered.offer(one, offer / f"{one.profile.name}.parquet")
    click.echo(f"in {study.folder}")


def check_enough(study) -> None:
    """InputError unless ``ENOUGH`` pictures are classified correctly: the pages are about those."""

    def is_right(sample: int) -> bool:
        images, labels = study.image(sample)
        return bool(study.classifier(images).argmax(1) == labels)

    found = len(list(itertools.islice(filter(is_right, study.pictures.samples), ENOUGH)))
    if found < ENOUGH:
        raise InputError(
            f"{study.classifier.name} classifies {found} of {len(study.pictures)} pictures "
            f"correctly; expected at least {ENOUGH}, whose resistance the pages compare."
        )


def every_table(study) -> Iterator[tuple[str, object]]:
    """Title and rows of each table that some page reads; they are computed one after the other."""
    profile, every = study.profile, study.profile.every
    yield "FGSM", study.table()
    yield "random signs", study.table("random", every=every.control)
    yield "FGSM in 8 bits", study.table(bits=8, every=every.control)
    for objective, clip in itertools.product(("cross_entropy", "true_logit"), ("valid", "image")):
        if (objective, clip) != (profile.objective, profile.clip):
            step = every.objectives if clip == profile.clip else every.clips
            grid = profile.epsilon_255.objectives
            options = {"objective": objective, "clip": clip, "epsilon_255": grid, "every": step}
            yield f"{objective}, {clip}", study.table(**options)
    for case in study.cases:
        yield case.picture.name, case.table
    if study.shown is not study:
        grid = study.shown.profile.epsilon_255.cases
        for direction in ("gradient", "random"):
            yield f"{direction}, shown", study.shown.table(direction, epsilon_255=grid)


@main.command()
@click.argument("what", type=click.Choice(["nips2017"]))
@click.option("--to", "folder", type=FOLDER, help="By default _build/nips2017/data.")
def fetch(what, folder) -> None:
    """Fetch the 1000 photographs of the NIPS 2017 development set, each from its author's page.

    What is there is not fetched again, so an interrupted fetch goes on where it stopped.
    """
    stop_at_once("interrupted; what is fetched is kept, and the next run goes on from there.")
    from fgsm_lib.fetch import fetch_nips2017, summary

    folder = folder or build_folder() / what / "data"
    click.echo(f"{folder}: {summary(fetch_nips2017(folder))}")


if __name__ == "__main__":
    main()
