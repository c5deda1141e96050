"""torchvision, importable beside any build of torch.

A CPU build of torch next to a CUDA build of torchvision cannot load torchvision's C++ extension,
and ``import torchvision`` then dies with "operator torchvision::nms does not exist". Only
detection models need that operator; classifiers and transforms do not. So the two operators that
torchvision insists on are declared (not implemented) where they are missing.

Import ``models`` and ``transforms`` from here, never from torchvision directly.
"""

import importlib.util
from pathlib import Path

import torch


def _extension_loads() -> bool:
    package = Path(importlib.util.find_spec("torchvision").origin).parent
    try:
        for library in package.glob("_C*.*"):  # _C.so; _C_stable.so from torchvision 0.29 on
            torch.ops.load_library(library)
    except OSError:
        return False
    return hasattr(torch.ops.torchvision, "nms")


if not _extension_loads():
    _library = torch.library.Library("torchvision", "DEF")
    _library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from torchvision import models, transforms  # noqa: E402

__all__ = ["models", "transforms"]
