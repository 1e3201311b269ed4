"""Named networks with the sizes of the papers, from ``configurations`` of the backbones."""

from __future__ import annotations

from pose3d.lift.models import LifterOptions
from pose3d.plugins import find_parts, load_part

# Names with ``hot-`` recover the whole window, ``tpc-`` give its centre.
CONFIGURATIONS: dict[str, LifterOptions] = {
    name: LifterOptions(backbone=backbone, sizes=made.sizes, hourglass=made.hourglass)
    for backbone in find_parts("backbone")
    for name, made in load_part("backbone", backbone).configurations.items()
}
