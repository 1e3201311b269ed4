"""Colours and sizes of the pictures: two styles, one palette for people."""

from __future__ import annotations

from dataclasses import dataclass

from pose3d.errors import unknown_name

Colour = tuple[int, int, int]  # RGB, 0..255


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """Colours of everything that is not a person."""

    page: Colour  # background of the footer and around small pictures
    sky: Colour  # 3D panel, far from the floor's centre
    floor: Colour  # 3D panel, at the floor's centre
    grid: Colour  # grid lines
    text: Colour  # main text
    faint: Colour  # secondary text
    line: Colour  # separators and the empty time track
    halo: Colour  # under-stroke of skeletons on the video
    outline_mix: Colour  # what the outline of a limb in the 3D panel is mixed with
    shadow: float  # how much light the darkest shadow takes away, 0..1


STYLES: dict[str, Style] = {
    "light": Style(
        page=(250, 250, 248),
        sky=(224, 228, 233),
        floor=(252, 252, 251),
        grid=(128, 140, 155),
        text=(33, 41, 52),
        faint=(112, 122, 134),
        line=(222, 225, 229),
        halo=(255, 255, 255),
        outline_mix=(15, 23, 35),
        shadow=0.42,
    ),
    "dark": Style(
        page=(15, 18, 24),
        sky=(19, 23, 31),
        floor=(50, 58, 71),
        grid=(126, 142, 164),
        text=(234, 238, 243),
        faint=(140, 150, 163),
        line=(45, 52, 62),
        halo=(10, 12, 16),
        outline_mix=(6, 8, 12),
        shadow=0.62,
    ),
}

# Colours of people in the order of their ids; the first six are the hues of Okabe and Ito (Color
# Universal Design, 2008), which differ for the common forms of colour blindness.
PALETTE: tuple[Colour, ...] = (
    (45, 118, 214),  # blue
    (222, 92, 14),  # orange
    (14, 160, 118),  # green
    (206, 84, 164),  # pink
    (238, 186, 36),  # gold
    (98, 196, 240),  # sky
    (126, 92, 222),  # violet
    (206, 66, 56),  # red
)


def get_style(name: str) -> Style:
    """Returns the style of a name, or raises a UsageError."""
    if name not in STYLES:
        raise unknown_name("style", name, STYLES)
    return STYLES[name]


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Returns ``a`` moved towards ``b`` by ``share`` (0: ``a``, 1: ``b``)."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def ink_on(colour: Colour) -> Colour:
    """Returns the colour, white or nearly black, in which text on ``colour`` is legible."""
    red, green, blue = colour
    bright = 0.30 * red + 0.59 * green + 0.11 * blue > 150
    return (24, 28, 34) if bright else (255, 255, 255)


def person_colour(person_id: int) -> Colour:
    """Returns the colour of a track id; the same in every panel and every video."""
    return PALETTE[(person_id - 1) % len(PALETTE)]


def side_colours(base: Colour) -> dict[str, Colour]:
    """Returns the shade of each side of a body: the left is lighter, the right darker."""
    return {
        "left": mix(base, (255, 255, 255), 0.42),
        "middle": base,
        "right": mix(base, (0, 0, 0), 0.28),
    }
