"""Named networks with the sizes of the papers, so that a name is enough to build one.

Each backbone lists its own (class attribute ``configurations``). Weights, and what they expect of the
input (normalisation, mapping), come with a weights file.
"""

from __future__ import annotations

from pose3d.lift.models import LifterOptions
from pose3d.plugins import find_parts, load_part

CONFIGURATIONS: dict[str, LifterOptions] = {
    name: LifterOptions(backbone=backbone, sizes=made.sizes, hourglass=made.hourglass)
    for backbone in find_parts("backbone")
    for name, made in load_part("backbone", backbone).configurations.items()
}
"""Name -> architecture. Names with ``hot-`` recover the whole window, ``tpc-`` give its centre."""
