"""``pose3d inspect``: look inside a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pose3d.cli.edge import add_command
from pose3d.cli.flags import argument, default_of, with_options
from pose3d.errors import DataError, UsageError, VideoError, unknown_name
from pose3d.files import write_whole
from pose3d.options import STYLES, option

if TYPE_CHECKING:
    import numpy as np

    from pose3d.networks2d.tokenpose.network import TokenPose
    from pose3d.video.picture import Image

app = typer.Typer(
    help="Look inside a network.\n\nExample: pose3d inspect tokenpose person.jpg",
    no_args_is_help=True,
)
_DEFAULT = "tokenpose-s-sparse"


@dataclass(frozen=True, kw_only=True)
class InspectOptions:
    """Flags of ``pose3d inspect tokenpose``."""

    weights: Path | None = option(
        None, "Weights, .safetensors.", metavar="FILE", shown="random ones, of --configuration"
    )
    configuration: str | None = option(
        None,
        "Network to fill with random weights, e.g. tokenpose-s-removed.",
        metavar="NAME",
        shown=_DEFAULT,
    )
    box: str | None = option(
        None,
        "The person: left, top, right, bottom in pixels.",
        metavar="L,T,R,B",
        shown="the largest one that the detector finds",
    )
    output: Path | None = option(
        None, "Picture to write.", short="-o", metavar="FILE", shown="IMAGE.tokenpose.png, here"
    )
    style: str = option("light", "light or dark.", metavar="NAME", choices=STYLES)
    offline: bool = option(False, "Never use the network.", one_way=True)


@with_options(InspectOptions)
def tokenpose(
    image: Annotated[Path, argument("A picture with a person.")], *, options: InspectOptions
) -> None:
    """Draw what TokenPose looks at: attention kept in each layer, by keypoint, and the heatmaps.

    Example: pose3d inspect tokenpose person.jpg --weights tokenpose.safetensors
    """
    target = options.output or Path(f"{image.stem}.tokenpose.png")
    if target.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UsageError(f"{target} is no picture", "Name a .png or .jpg file with --output")
    network, name = _make_network(options.weights, options.configuration)
    picture = _read_image(image)
    if options.box is None:
        area = _find_person(picture, image, options.offline)
    else:
        area = _parse_box(options.box, picture)

    import cv2

    from pose3d.networks2d.tokenpose.inspect import inspect_person
    from pose3d.render.attention import draw_inspection

    sheet = draw_inspection(
        inspect_person(network, picture, area),
        title=name,
        subtitle=_describe(network),
        warning="" if options.weights else "RANDOM WEIGHTS: the keypoints mean nothing",
        style=options.style,
    )
    _, data = cv2.imencode(target.suffix, cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    with write_whole(target, UsageError) as part:
        part.write_bytes(data.tobytes())
    print(f"{target}: {name}, {_describe(network)}")
    if not options.weights:
        print("The weights are random: the picture shows how the network works, not what it knows.")


def _make_network(weights: Path | None, configuration: str | None) -> tuple[TokenPose, str]:
    if weights is not None and configuration is not None:
        raise UsageError(
            "--weights and --configuration exclude each other",
            "Give --weights alone: the file says what network it belongs to",
        )
    import torch

    from pose3d.networks2d.tokenpose.files import load_tokenpose
    from pose3d.networks2d.tokenpose.network import TokenPose
    from pose3d.networks2d.tokenpose.options import CONFIGURATIONS

    if weights is not None:
        return load_tokenpose(weights)[0], weights.stem
    name = configuration or _DEFAULT
    if name not in CONFIGURATIONS:
        raise unknown_name("configuration of TokenPose", name, CONFIGURATIONS)
    torch.manual_seed(0)
    return TokenPose(CONFIGURATIONS[name]).eval(), name


def _describe(network: TokenPose) -> str:
    options = network.options
    rows, columns = options.grid_hw
    millions = sum(p.numel() for p in network.parameters()) / 1e6
    parts = [
        f"{millions:.1f} M parameters",
        f"{options.depth} layers, {rows * columns} patches, {network.keypoints} keypoints",
    ]
    for schedule, verb in (
        (options.prune, "each patch keeps {} of its links"),
        (options.remove, "{} of the patches stay"),
    ):
        if schedule is not None:
            shares = sorted(set(schedule.keep), reverse=True)
            share = ", ".join(f"{100 * s:g} %" for s in shares)
            layers = ", ".join(map(str, schedule.at))
            parts.append(f"{verb.format(share)} at layers {layers}")
    if options.joint is not None:
        parts.append(f"{options.joint.layers} joint layers ({options.joint.links})")
    return "; ".join(parts)


def _read_image(path: Path) -> Image:
    import cv2
    import numpy as np

    try:
        # Not cv2.imread: it cannot open names outside the code page on Windows.
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise VideoError(f"{path} cannot be read ({error.strerror})", "Check the path") from error
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if image is None:
        raise VideoError(f"{path} is not an image that can be read", "Give a .jpg or .png picture")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _parse_box(text: str, image: Image) -> np.ndarray:
    """Returns the box that was typed; it has to have an area inside the picture."""
    import numpy as np

    try:
        box = np.array([float(part) for part in text.split(",")], np.float32)
    except ValueError:
        box = np.zeros(0, np.float32)
    if len(box) != 4 or not np.isfinite(box).all():
        raise UsageError(f"--box {text!r} is no box", "Write e.g. --box 120,40,310,460")
    height, width = image.shape[:2]
    low, high = np.maximum(box[:2], 0), np.minimum(box[2:], (width, height))
    if not (high - low >= 1).all():
        raise UsageError(
            f"--box {text} has no area inside the picture of {width}x{height} px",
            "Write left, top, right, bottom in pixels",
        )
    return box


def _find_person(image: Image, path: Path, offline: bool) -> np.ndarray:
    import numpy as np

    from pose3d.networks2d.loading import make_detector

    people = make_detector(default_of("detector"), offline=offline).detect(image)
    if not len(people):
        raise DataError(
            f"Nobody was found in {path}", "Give the person with --box LEFT,TOP,RIGHT,BOTTOM"
        )
    boxes = people.boxes_xyxy_px
    return boxes[int(np.argmax((boxes[:, 2:] - boxes[:, :2]).prod(-1)))]


add_command(app, "tokenpose", tokenpose)
