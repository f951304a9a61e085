"""Colours that stand out from the page in light and in dark themes."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

LIGHT, DARK = "#ffffff", "#171a1f"
_CONTRAST = 3.0  # of graphical objects with their ground: WCAG 2.2, criterion 1.4.11


def palette(channels: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """Write the custom properties of the page by theme, with the colours of channels.

    Channels keep their hue; one that would be too close to the page's ground in lightness becomes
    darker or lighter until it is not.
    """
    common = {
        "light": {
            "ink": "#1d2129", "muted": "#565d68", "faint": "#8a8f98", "rule": "#dcdfe4",
            "page": "#f5f6f8", "surface": LIGHT, "raised": "#f1f3f5", "grid": "#e6e8eb",
            "model": "#0067a3", "second": "#b84e00", "baseline": "#c3c8d0",
            "controls": "#8f97a3", "link": "#005a8f", "focus": "#0067a3",
            "good": "#1e6b2d", "good-ground": "#e5f3e7", "look": "#8a4b00",
            "look-ground": "#fdf1dc", "bad": "#a91b14", "bad-ground": "#fce6e4",
        },
        "dark": {
            "ink": "#e8eaed", "muted": "#aab1bc", "faint": "#8b929d", "rule": "#343a44",
            "page": "#0f1115", "surface": DARK, "raised": "#20242b", "grid": "#2b3038",
            "model": "#5ab0e6", "second": "#f09a50", "baseline": "#4d545f",
            "controls": "#7b8492", "link": "#7cc4f2", "focus": "#7cc4f2",
            "good": "#86d494", "good-ground": "#16301b", "look": "#f2bd6b",
            "look-ground": "#33260f", "bad": "#ff9d96", "bad-ground": "#3a1715",
        },
    }  # fmt: skip
    for theme, ground in (("light", LIGHT), ("dark", DARK)):
        own = {f"c{i}": legible(colour, ground) for i, colour in enumerate(channels)}
        common[theme] |= own
    return {theme: list(values.items()) for theme, values in common.items()}


def legible(colour: str, ground: str, ratio: float = _CONTRAST) -> str:
    """Move a colour's lightness away from the ground's until they contrast enough."""
    away = -0.01 if _luminance(ground) > 0.5 else 0.01
    hue, lightness, saturation = colorsys.rgb_to_hls(*_parts(colour))
    for _ in range(100):
        if contrast(colour, ground) >= ratio:
            break
        lightness = min(max(lightness + away, 0.0), 1.0)
        rgb = colorsys.hls_to_rgb(hue, lightness, saturation)
        colour = "#" + "".join(f"{round(255 * part):02x}" for part in rgb)
    return colour


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, from 1 to 21, as WCAG defines it."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _parts(colour: str) -> tuple[float, float, float]:
    r, g, b = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return r, g, b


def _luminance(colour: str) -> float:
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in _parts(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
