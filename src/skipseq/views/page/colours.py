"""The colours of a drawing on a page, light and dark: text can be read on each ground."""

from __future__ import annotations

from skipseq.views.drawing.drawing import FILLS, HUES, INK

__all__ = ["colours"]

#: The ground of a drawing and of the containers in it, and the writing on it, in light and in dark.
GROUNDS = {"#fcfcfd": "#12171c", "#f5f6f8": "#191f26", "#eff1f4": "#1f262e", "#ffffff": "#262e37"}
WRITING = {"#1f2933": ("#1f2933", "#eef2f6"), "#52606d": ("#4b5865", "#b8c3ce"), "#6b7580": ("#4b5865", "#aab6c2")}
#: The least contrast of text, see WCAG 2.2, 1.4.3.
CONTRAST = 4.5


def colours() -> str:
    """The colours of a drawing as rules that know light and dark: an attribute of an SVG gives way to a rule."""
    ground, deep = GROUNDS["#fcfcfd"], GROUNDS["#eff1f4"]
    lines = [f":root {{ --paper: light-dark(#fcfcfd, {ground}); --closed: light-dark(#e3e8ee, #2b343e); }}"]
    lines += [rule("rect", "fill", light, light, night) for light, night in GROUNDS.items()]
    lines += [rule("text", "stroke", "#fcfcfd", "#fcfcfd", ground), rule("rect", "stroke", "#ced4da", "#c3cad2", "#3d4854")]
    lines += [rule(":is(text, tspan)", "fill", drawn, *pair) for drawn, pair in WRITING.items()]
    for hue in HUES:
        light, night = legible(hue, "#eff1f4", "#000000"), legible(hue, deep, "#ffffff")
        lines += [rule("*", part, hue, light, night) for part in ("fill", "stroke")]
    lines += [rule("*", part, INK, INK, "#9aa7b4") for part in ("fill", "stroke")]
    for fill, line in dict.fromkeys(FILLS.values()):
        if fill != line:
            lines += [
                rule("rect", "fill", fill, fill, mixed(line, "#10151a", 0.78)),
                rule("rect", "stroke", line, line, mixed(line, "#ffffff", 0.15)),
            ]
        else:
            lines += [rule("rect", part, fill, fill, "#46515d") for part in ("fill", "stroke")]
    return "\n".join(dict.fromkeys(lines)) + "\n"


def rule(element: str, part: str, drawn: str, light: str, night: str) -> str:
    """The rule for all elements that are drawn in a colour."""
    return f'svg.skipseq {element}[{part}="{drawn}"] {{ {part}: light-dark({light}, {night}); }}'


def legible(colour: str, ground: str, towards: str) -> str:
    """A colour, made darker or lighter until it can be read on a ground."""
    steps = (mixed(colour, towards, k / 20) for k in range(20))
    return next(each for each in steps if contrast(each, ground) >= CONTRAST)


def mixed(colour: str, other: str, share: float) -> str:
    """A colour with a share of another one in it."""
    pairs = zip(channels(colour), channels(other), strict=True)
    return "#" + "".join(f"{round(one + (two - one) * share):02x}" for one, two in pairs)


def channels(colour: str) -> tuple[int, int, int]:
    """Red, green and blue, each up to 255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, as WCAG 2.2 defines it."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    """How bright a colour is, as WCAG 2.2 defines it."""
    parts = [each / 255 for each in channels(colour)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
