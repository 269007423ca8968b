"""Link colors that can be read, in light and in dark.

A catalog has one color for links, chosen for one background. Text needs a contrast of at
least 4.5 to 1 with what is behind it (WCAG 2.2, success criterion 1.4.3): a color that
has less is mixed with black or white until it has enough.
"""

from __future__ import annotations

from icfqueue.core.settings import Settings

CONTRAST = 4.5
"""WCAG 2.2, 1.4.3: for text of usual size."""

LIGHT = ("#ffffff", "#f3f5f7")
DARK = ("#14181d", "#20262d")
"""What links stand on: ``--back`` and ``--raised`` of ``pages.css``."""

_STEPS = 50
_KNEE = 0.04045
"""Below it sRGB is linear (IEC 61966-2-1)."""

_BLACK, _WHITE = (0.0, 0.0, 0.0), (255.0, 255.0, 255.0)

Rgb = tuple[float, float, float]


def style_sheet(settings: Settings) -> str:
    """Return the link colors of the catalog as CSS variables."""
    colors = {
        "link": settings.catalog_link_color,
        "hover": settings.catalog_link_hover_color,
    }
    lines = [
        f"  --{name}-{where}: {readable(color, on)};"
        for name, color in colors.items()
        for where, on in (("light", LIGHT), ("dark", DARK))
    ]
    return "\n".join([":root {", *lines, "}", ""])


def readable(color: str, backgrounds: tuple[str, ...]) -> str:
    """Return `color`, or the nearest mixture with black or white that can be read.

    Parameters
    ----------
    color, backgrounds
        As ``#rrggbb``; the backgrounds are all dark or all light.
    """
    own, behind = _rgb(color), [_rgb(one) for one in backgrounds]
    end = _BLACK if luminance(behind[0]) > 1 / 2 else _WHITE
    for step in range(_STEPS + 1):
        share = step / _STEPS
        mixed = (
            round(own[0] + (end[0] - own[0]) * share),
            round(own[1] + (end[1] - own[1]) * share),
            round(own[2] + (end[2] - own[2]) * share),
        )
        if all(contrast(mixed, one) >= CONTRAST for one in behind):
            break
    return "#{:02x}{:02x}{:02x}".format(*mixed)


def contrast(one: Rgb, other: Rgb) -> float:
    """Return the contrast ratio of two colors, 1 to 21 (WCAG 2.2)."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(color: Rgb) -> float:
    """Return the relative luminance of a color, 0 to 1 (WCAG 2.2)."""
    red, green, blue = map(_linear, color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(value: float) -> float:
    share = value / 255
    return share / 12.92 if share <= _KNEE else ((share + 0.055) / 1.055) ** 2.4


def _rgb(color: str) -> Rgb:
    red, green, blue = bytes.fromhex(color.removeprefix("#"))
    return red, green, blue
