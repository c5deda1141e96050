"""The command ``fgsm``."""

import contextlib
import functools
import os
import shutil
import sys
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click

from fgsm_lib.datasets import read_class_names, read_photos
from fgsm_lib.errors import InputError
from fgsm_lib.files import DISK_FAULTS
from fgsm_lib.profiles import DEMO, Profile, build_folder, data_folder, load_profile, variant_name
from fgsm_lib.site import end_with_the_build

PROFILE_OPTIONS = [
    click.option(
        "--profile",
        default=DEMO,
        show_default=True,
        metavar="NAME",
        help="demo, nips2017, or the path of your own .toml file.",
    ),
    click.option(
        "--data",
        type=click.Path(path_type=Path),
        help="Folder with dev_dataset.csv, categories.csv and images/.",
    ),
    click.option(
        "--weights",
        type=click.Path(path_type=Path),
        help="A .safetensors or torch state dict file; without it, torchvision's are downloaded.",
    ),
    click.option("--arch", help="torchvision's name of the classifier, e.g. squeezenet1_0."),
]


def profile_options(command):
    """Add the options that choose data and classifier."""
    for option in reversed(PROFILE_OPTIONS):
        command = option(command)
    return command


class Group(click.Group):
    """Reports a user's mistake, or a disk's, as one line without a traceback; exit status 1."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except InputError as error:
            click.echo(f"fgsm: {error}", err=True)
            sys.exit(1)
        except OSError as error:
            if error.errno not in DISK_FAULTS:
                raise
            click.echo(
                f"fgsm: {error.filename or build_folder()}: {error.strerror or error}; expected a "
                "place that can be written, with space left.",
                err=True,
            )
            sys.exit(1)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """The Fast Gradient Sign Method, as a site that computes itself.

    Start with `fgsm site`: it builds the whole site into _build/html.
    """


@main.command()
@profile_options
@click.option(
    "--sample", "samples", type=int, multiple=True, help="Add a case study of this sample."
)
def site(profile, data, weights, arch, samples) -> None:
    """Build the site; only what changed is redone."""
    build(profile, data, weights, arch, list(samples))


@main.command()
@click.argument("sample", type=int)
@profile_options
def case(sample, profile, data, weights, arch) -> None:
    """Build the site with a case study of one more SAMPLE (a row number of the data set)."""
    build(profile, data, weights, arch, [sample], page=f"case-{sample}.html")


@main.command()
@profile_options
@click.option("--scheduler", metavar="ADDRESS", help="Run on a Dask cluster: tcp://host:8786.")
def sweep(profile, data, weights, arch, scheduler) -> None:
    """Attack every image at every epsilon, into _build/<profile>/sweep.parquet.

    Beside it: the control with random signs, what 8 bits keep of the attack, each image's minimal
    adversarial epsilon, the other objective and clip, and the iterative methods.
    """
    end_with_the_build()
    remember(data, weights, arch)
    from fgsm_lib.iterative import comparison
    from fgsm_lib.study import open_study  # torch takes seconds to import: only where needed

    study = open_study(profile)
    study.scheduler = scheduler
    tables = {"sweep": len(study.table), "control": len(study.control)}
    tables |= {"eight-bit": len(study.eight_bit), "minimal": len(study.minimal)}
    for objective, clip in study.profile.other_variants:
        tables[variant_name(objective, clip)] = len(study.variant(objective, clip))
    tables["iterative"] = len(comparison(study))
    for name, rows in tables.items():
        click.echo(f"{study.folder / name}.parquet: {rows} rows")


@main.command()
@profile_options
@click.option("--images", default=50, show_default=True, help="How many images to attack.")
@click.option("--rounds", default=3, show_default=True, help="Rounds; medians are reported.")
def bench(profile, data, weights, arch, images, rounds) -> None:
    """Measure the sweep against other libraries and its bare passes, into _build/bench.json.

    Takes ten minutes or more (half an hour where a pass takes 10 ms), and wants a machine that does
    nothing else.
    """
    remember(data, weights, arch)
    from fgsm_lib.bench import record, report
    from fgsm_lib.study import open_study

    study = open_study(profile)
    for entry in record.measure(study, images, rounds):
        path = record.keep(study.profile.name, entry)  # at once: what follows may be interrupted
    click.echo(report.speed_table(entry).to_string(index=False))
    click.echo(f"kept in {path}")


@main.command()
@click.option("--update", is_flag=True, help="Renew the reference and print what changed.")
def verify(update) -> None:
    """Rebuild the demo site from nothing; compare every result with the committed reference."""
    from fgsm_lib.site import tasks
    from fgsm_lib.site import verify as check

    path, folder = Path("tests", "reference", "demo.json").absolute(), build_folder() / DEMO
    try:
        expected = check.read_reference(path)
    except InputError:
        if not update:
            raise
        expected = {}  # to be renewed whatever it is
    with tasks.alone(build_folder()):
        if folder.exists():
            shutil.rmtree(folder)
    build(DEMO, None, None, None, [])
    found = check.results(folder)
    lines = check.differences(expected, found)
    for line in lines:
        click.echo(line)
    count = sum(len(series.values) for series in found.values())
    if update:
        check.write_reference(path, found)
        click.echo(f"{path}: {count} values, {len(lines)} differences to what it held")
    elif lines:
        raise InputError(
            f"{path}: {len(lines)} of {count} values differ; expected none beyond its tolerance. "
            "If they are meant to, make verify UPDATE=1 renews the reference."
        )
    else:
        click.echo(f"all {count} values are within the tolerances of {path}")


@main.command()
@click.option("--port", default=8000, show_default=True, help="0 takes any free one.")
def serve(port) -> None:
    """Show the built site at an address of this machine, until Ctrl+C."""
    html = build_folder() / "html"
    if not (html / "index.html").is_file():
        raise InputError(f"{html}: no site here; expected one built by make site.")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(html))
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError:  # something else is served there
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    click.echo(f"the site is at http://127.0.0.1:{server.server_port}/ (Ctrl+C stops)")
    with contextlib.suppress(KeyboardInterrupt), server:
        server.serve_forever()


def build(profile, data, weights, arch, samples: list[int], page: str = "index.html") -> None:
    """Build the site and say where it is."""
    began = time.monotonic()
    project = Path.cwd()
    if not (project / "_toc.yml").is_file():
        raise InputError(f"{project}: no _toc.yml here; expected the project's own folder.")
    from fgsm_lib.site import launch, tasks  # doit: needed for a build only

    launch.repository()  # an address that is none shows before the long work starts
    remember(data, weights, arch)
    if profile.endswith(".toml"):
        profile = str(
            Path(profile).expanduser().absolute()
        )  # notebooks run in folders of their own
    loaded = load_profile(profile)
    os.environ["FGSM_BUILD"] = str(build_folder())
    names = names_of(loaded, [*loaded.cases, *samples])
    if not tasks.run(project, loaded, profile, samples, names):
        raise InputError("the build stopped; the last good site, if any, is still in place.")
    place = os.path.relpath(build_folder() / "html" / page)
    click.echo(f"done in {time.monotonic() - began:.0f} s: open {place} in a browser")


def names_of(profile: Profile, samples: list[int]) -> dict[int, str]:
    """The class of each sample; says before the long work starts that a sample does not exist."""
    folder = data_folder(profile)
    photos = read_photos(folder, read_class_names(folder))
    for sample in samples:
        if not 0 <= sample < len(photos):
            raise InputError(
                f"{folder}: there is no sample {sample}; "
                f"expected a number from 0 to {len(photos) - 1}."
            )
    return {sample: photos[sample].class_name.split(",")[0] for sample in samples}


def remember(data: Path | None, weights: Path | None, arch: str | None) -> None:
    """Hand the choices on to the processes of the build, notebooks included."""
    values = {"FGSM_DATA": data, "FGSM_WEIGHTS": weights, "FGSM_ARCH": arch}
    for name, value in values.items():
        if value:
            path = isinstance(value, Path)
            os.environ[name] = str(value.expanduser().absolute() if path else value)


if __name__ == "__main__":
    main()
