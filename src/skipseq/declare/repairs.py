"""What is asked for with a join so that values which do not fit can be joined, ``fit=`` and ``project=``, and its faults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from skipseq.errors import did_you_mean
from skipseq.wiring import Fit

from .projection import is_projection
from .words import Joined, here, is_number, origin, running_at, write_option

__all__ = ["find_option_faults", "fit_of"]

FITS = ("crop", "crop_end", "pad", "pad_center", "pad_replicate", "resize")
#: The modes of a resize; those that interpolate between positions can align the corners.
ALIGNING = ("linear", "bilinear", "bicubic", "trilinear")
MODES = ("nearest", "nearest-exact", *ALIGNING, "area")

#: What is wrong, and what to write instead.
Fault = tuple[str, str]


def fit_of(joined: Joined, operands: Sequence[Any]) -> Fit | None:
    """The fit of a join; ``operands`` are those that it has, with ``here`` also where it was left out.

    With a resize, some operand rules in any case: the first that is not the running value.
    """
    if joined.fit is None:
        return None
    like = position(joined.like, operands)
    if joined.fit == "resize" and like is None:
        named = (i for i, each in enumerate(operands) if origin(each) is not here and not is_number(each))
        like = next(named, running_at(operands))
    return Fit(joined.fit, like, joined.mode, joined.align_corners)


def position(name: Any, operands: Sequence[Any]) -> int | None:
    """Which operand a name means: the one that is it, or else the first that starts from it."""
    if name is None:
        return None
    exact = (i for i, each in enumerate(operands) if each is name or (isinstance(each, str) and each == name))
    after = (i for i, each in enumerate(operands) if origin(each) is name or (isinstance(name, str) and origin(each) == name))
    return next(exact, next(after, None))


def find_option_faults(joined: Joined, operands: Sequence[Any]) -> Iterator[Fault]:
    """What is wrong with the options of a join."""
    values = [each for each in operands if not is_number(each)]
    if joined.fit is None:
        yield from without_fit(joined)
    elif joined.fit not in FITS:
        yield unknown("fit", joined.fit, FITS, "")
    else:
        if len(values) == 1:
            yield f"has fit={joined.fit!r} and one value only, which fits itself.", "Leave fit out."
        yield from like_faults(joined, values)
        yield from resize_faults(joined)
    yield from project_faults(joined, values)


def without_fit(joined: Joined) -> Iterator[Fault]:
    """Options that say how to fit, where nothing is to be fitted."""
    for name, usual in (("like", None), ("mode", "nearest"), ("align_corners", None)):
        value = getattr(joined, name)
        if value is not usual and not (isinstance(value, str) and value == usual):
            text = f"{name}={write_option(value)}"
            advice = "fit='crop', or another fit, with it" if name == "like" else f"fit='resize', {text}"
            yield f"has {text} without a fit.", f"Write {advice}, or leave {name} out."


def like_faults(joined: Joined, values: Sequence[Any]) -> Iterator[Fault]:
    """What rules must be one of the operands, by the name that is written in the word."""
    like = joined.like
    if like is None or position(like, values) is not None:
        return
    names = list(dict.fromkeys(origin(each) for each in values if isinstance(origin(each), str)))
    known = [*(["here"] if any(origin(each) is here for each in values) else []), *map(repr, names)]
    near = did_you_mean(like, names) if isinstance(like, str) else ""
    yield f"has like={write_option(like)}, which is none of its operands.{near}", f"Write {written('like', known)}."


def resize_faults(joined: Joined) -> Iterator[Fault]:
    """The mode of a resize, and what goes with it."""
    mode, corners = joined.mode, joined.align_corners
    resizes = joined.fit == "resize"
    if mode not in MODES:
        yield unknown("mode", mode, MODES, "fit='resize', ")
    elif mode != "nearest" and not resizes:
        yield f"has mode={mode!r} with fit={joined.fit!r}.", f"Write fit='resize', mode={mode!r}, or leave mode out."
    if corners is None:
        return
    if not isinstance(corners, bool):
        yield f"has align_corners={write_option(corners)}.", "Write align_corners=True or align_corners=False, or leave it out."
    elif not resizes:
        yield f"has align_corners={corners} with fit={joined.fit!r}.", "Only fit='resize' has corners to align; leave it out."
    elif mode in MODES and mode not in ALIGNING:
        advice = f"Write {written('mode', map(repr, ALIGNING))}, or leave align_corners out."
        yield f"has align_corners={corners} with mode={mode!r}, which has no corners to align.", advice


def project_faults(joined: Joined, values: Sequence[Any]) -> Iterator[Fault]:
    """What cannot be projected."""
    project = joined.project
    if project is None or project is False:
        return
    if not is_projection(project):
        yield unknown("project", project, ("pad_channels",), "project=True or ")
    elif joined.operator == "cat":
        yield (
            f"has project={project!r}, and a concatenation takes any number of channels.",
            "Write add, or put a layer of your own behind the value: via('name', layer).",
        )
    elif len(values) == 1:
        yield f"has project={project!r} and one value only, which is like itself.", "Leave project out."


def unknown(option: str, value: Any, known: Sequence[str], before: str) -> Fault:
    """The fault of an option that has none of the values that it may have."""
    near = did_you_mean(value, known) if isinstance(value, str) else ""
    return (
        f"has {option}={write_option(value)}, which is no {option} that it knows.{near}",
        f"Write {before}{written(option, map(repr, known))}.",
    )


def written(option: str, known: Iterable[str]) -> str:
    """An option with the values that it may have: ``fit='crop', 'pad' or 'resize'``."""
    *rest, last = known
    return f"{option}={', '.join(rest)} or {last}" if rest else f"{option}={last}"
