"""Where the measurements are kept: ``_build/bench.json``, or the record of one run that is shipped.

A record has one entry per profile: what was measured, when, and on what.
"""

import importlib.metadata
import importlib.util
import json
import os
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import torch

from fgsm_lib.bench import extras, scale, speed
from fgsm_lib.errors import InputError
from fgsm_lib.files import replacing
from fgsm_lib.profiles import DEMO, build_folder
from fgsm_lib.study import Study

SHIPPED = Path(__file__).with_name("record.json")
PACKAGES = ("torch", "torchvision", "foolbox", "torchattacks", "cleverhans")

Record = dict[str, dict]


def measured_path() -> Path:
    """Where ``make bench`` writes."""
    return build_folder() / "bench.json"


def measure(study: Study, images: int, rounds: int) -> Iterator[dict[str, object]]:
    """The entry of a profile as it grows, each state worth keeping: half an hour may go into it.

    First all sides, then what else might be free, then (for the demo set) memory and scale.
    """
    entry = {
        "title": study.profile.title,
        "classifier": study.classifier.name,
        "crop": study.classifier.crop,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "hardware": _hardware(study.classifier.device),
        "load_before": round(os.getloadavg()[0], 2),
        "versions": _versions(),
    }
    entry |= speed.compare(study, images, rounds)
    bench = speed.Bench(study, min(images, speed.SEARCH_IMAGES))
    read = study.dataset.__getitem__
    entry["decoding_milliseconds"] = extras.decoding_milliseconds(read, bench.count)
    yield entry
    pixels = bench.pixels[torch.channels_last]
    entry["extras"] = extras.measure(study.classifier, pixels, bench.labels, bench.epsilons, rounds)
    yield entry
    torch.set_num_threads(entry["cores"])
    if study.profile.name == DEMO:
        entry["scale"] = scale.measure()
        yield entry


def _hardware(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text().splitlines() if cpus.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, CPU"


def _versions() -> dict[str, str]:
    there = [name for name in PACKAGES if importlib.util.find_spec(name)]
    versions = {name: importlib.metadata.version(name) for name in there}
    return {"python": platform.python_version(), **versions}


def keep(profile: str, entry: dict[str, object]) -> Path:
    """Add or replace one profile's entry in ``_build/bench.json``."""
    path = measured_path()
    record = _read(path) if path.exists() else {}
    record[profile] = entry
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return path


def read() -> tuple[Record, bool]:
    """The record, and whether it was measured here; the shipped one where nothing was."""
    path = measured_path()
    return (_read(path), True) if path.exists() else (_read(SHIPPED), False)


def _read(path: Path) -> Record:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if all(entry["sides"] and entry["passes"] for entry in record.values()):
            return record
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    raise InputError(f"{path}: not a record of make bench; delete the file and measure again.")
