"""What the live page offers its reader: the pictures of this build, its classes, and the ε.

What runs there, the classifier as a browser needs it, comes from ``fgsm_lib.site.browser``.
"""

from fgsm_lib.cases import short_name
from fgsm_lib.perception import to_uint8
from fgsm_lib.slider import file_name, lossless
from fgsm_lib.study import Study

START_255 = 4  # the ε in 1/255 that is shown first, or the nearest of the grid


def packed(study: Study) -> tuple[dict, dict[str, bytes]]:
    """The live page as data, and the picture files that the data name.

    The pictures are those of the profile's case studies as the classifier gets them, and so is
    the grid of ε: what a browser computes can be compared with those pages.
    """
    files: dict[str, bytes] = {}
    pictures = []
    for sample in study.profile.cases:
        image, label = study.dataset[sample]
        file = lossless(to_uint8(image))
        name = file_name(sample, file)
        files[name] = file
        shown = short_name(study.dataset.class_names[label])
        pictures.append({"sample": sample, "file": name, "label": label, "name": shown})
    grid = study.profile.case_epsilon_255
    data = {
        "arch": study.classifier.name,
        "classes": [short_name(name) for name in study.dataset.class_names],
        "resize": study.classifier.resize,
        "crop": study.classifier.crop,
        "objective": study.profile.objective,
        "epsilons": list(grid),
        "start": min(range(len(grid)), key=lambda index: abs(grid[index] - START_255)),
        "pictures": pictures,
    }
    return data, files
