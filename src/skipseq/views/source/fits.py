"""What ``fit=`` does, as functions of the file: values are brought to one extent before they are joined."""

from __future__ import annotations

from skipseq.wiring import Fit, Join

__all__ = ["fit_function"]

#: The names of the functions: with an operand whose extents rule, and without.
NAMES = {
    "crop": ("center_crop", "crop_to_smallest"),
    "crop_end": ("crop_end", "crop_end_to_smallest"),
    "pad": ("pad_end", "pad_to_largest"),
    "pad_center": ("pad_center", "pad_center_to_largest"),
    "pad_replicate": ("pad_replicate", "pad_replicate_to_largest"),
    "resize": ("resize", "resize"),
}

TOLD = {
    "crop": "Cuts {it} around the middle",
    "crop_end": "Cuts {it} behind",
    "pad": "Puts zeros behind {it}",
    "pad_center": "Puts zeros around {it}",
    "pad_replicate": "Repeats the last position of {it}",
    "resize": "Interpolates {it}",
}


def fit_function(step: Join, fit: Fit) -> tuple[str, str]:
    """The name and the text of the function that a join with a fit calls.

    With an operand that rules it is ``name(x, like)``, else ``name(*values)``.
    """
    by_like = fit.like is not None
    skipped = step.operator == "cat" and step.dim not in (0, 1)
    name = NAMES[fit.kind][0 if by_like else 1]
    if by_like:
        return name, like_function(name, step, fit, skipped)
    return name, values_function(name, step, fit, skipped)


def like_function(name: str, step: Join, fit: Fit, skipped: bool) -> str:
    """The text of a function that brings one value to the extents of another."""
    told = f"{TOLD[fit.kind].format(it='x')}, to the size of like behind (batch, channels)."
    size = "size = list(like.shape[2:])"
    lines = [f"def {name}(x: Tensor, like: Tensor) -> Tensor:", f'    """{told}"""']
    if step.broadcast or skipped:
        lines += ["    if x.dim() != like.dim() or x.dim() < 3:", "        return x"]
    lines.append(f"    {size}")
    if skipped:
        at = f"{step.dim} % x.dim() - 2"
        lines += [f"    if {at} >= 0:  # not in the dimension of the join", f"        size[{at}] = x.shape[{step.dim}]"]
    if fit.kind == "resize":
        options = f'mode="{fit.mode}"' + ("" if fit.align_corners is None else f", align_corners={fit.align_corners}")
        lines += ["    if list(x.shape[2:]) == size:", "        return x"]
        return "\n".join([*lines, f"    return nn.functional.interpolate(x, size=size, {options})"]) + "\n"
    if fit.kind.startswith("pad") or step.broadcast:
        sign = ">" if fit.kind.startswith("pad") else "<"
        lines += [f"    if any(have {sign} want for have, want in zip(x.shape[2:], size)):", "        return x"]
    return "\n".join([*lines, *change_lines(fit.kind, "x", 4, "    return {}")]) + "\n"


def values_function(name: str, step: Join, fit: Fit, skipped: bool) -> str:
    """The text of a function that brings values to the smallest or to the largest of their extents."""
    crops = fit.kind.startswith("crop")
    rule, told = ("min", "smallest") if crops else ("max", "largest")
    it = f"{TOLD[fit.kind].format(it='values')}, to the {told} size behind (batch, channels)."
    lines = [f"def {name}(*values: Tensor) -> list[Tensor]:", f'    """{it}"""']
    if step.broadcast:
        lines += ["    if len({value.dim() for value in values}) > 1:", "        return list(values)"]
    lines.append(f"    sizes = [{rule}(each) for each in zip(*(value.shape[2:] for value in values))]")
    lines += ["    fitted = []", "    for x in values:"]
    size = "size"
    if skipped:
        at = f"{step.dim} % x.dim() - 2"
        lines += ["        size = list(sizes)", f"        if {at} >= 0:  # not in the dimension of the join"]
        lines += [f"            size[{at}] = x.shape[{step.dim}]"]
    else:
        lines = [line.replace("sizes", "size") for line in lines]
    lines += change_lines(fit.kind, "x", 8, "        fitted.append({})", size)
    return "\n".join([*lines, "    return fitted"]) + "\n"


def change_lines(kind: str, value: str, indent: int, end: str, size: str = "size") -> list[str]:
    """The lines that change one value to ``size``; ``end`` is the last of them, around the result."""
    blank = " " * indent
    loop = f"{blank}for dim, length in enumerate({size}, start=2):"
    if kind.startswith("crop"):
        start = f"({value}.shape[dim] - length) // 2" if kind == "crop" else "0"
        return [loop, f"{blank}    {value} = {value}.narrow(dim, {start}, length)", end.format(value)]
    lines = [f"{blank}amounts: list[int] = []  # those of the last dimension come first", loop]
    lines.append(f"{blank}    missing = length - {value}.shape[dim]")
    before = "missing // 2, missing - missing // 2" if kind == "pad_center" else "0, missing"
    lines += [f"{blank}    amounts = [{before}, *amounts]"]
    mode = ', mode="replicate"' if kind == "pad_replicate" else ""
    return [
        *lines,
        f"{blank}if any(amounts):",
        f"{blank}    {value} = nn.functional.pad({value}, amounts{mode})",
        end.format(value),
    ]
