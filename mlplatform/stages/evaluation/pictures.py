"""Draws a `Picture` as PNG in the one house style: small, light, labelled where the eye is.

It must not compute a figure and must not touch matplotlib's global state (no pyplot): pictures are drawn from
several threads at once.
"""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlplatform.stages.evaluation.values import Bar, Line, Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg

SIZE = (6.4, 4.8)
"""Inches; at 100 dots per inch 640 x 480 pixels."""
DOTS_PER_INCH = 100
COLOURS_KEPT = 64
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8C6D1F", "#56B4E9")
"""Distinct to colour-blind eyes (Okabe & Ito 2008, the yellow darkened to be read on white)."""
INK, GREY, PALE = "#222222", "#8A8A8A", "#E6E6E6"
CORNERS = {
    "lower right": (0.97, 0.04, "right", 1),
    "upper right": (0.97, 0.96, "right", -1),
    "upper left": (0.03, 0.96, "left", -1),
    "lower left": (0.03, 0.04, "left", 1),
}


def draw(picture: Picture) -> bytes:
    """The picture as a PNG of 640 x 480 pixels; the same picture gives the same bytes.

    Parameters
    ----------
    picture : with `lines` or `bars`
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, dpi=DOTS_PER_INCH, facecolor="white", layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _style(axes, picture)
    if picture.bars:
        _draw_bars(axes, picture)
    else:
        _draw_lines(axes, picture)
    return _png(canvas)


def _style(axes: "Axes", picture: Picture) -> None:
    axes.set_title(picture.title, loc="left", fontsize=12, color=INK, pad=18 if picture.bars else 10)
    axes.set_xlabel(picture.x_label, fontsize=10, color=INK)
    axes.set_ylabel(picture.y_label, fontsize=10, color=INK)
    axes.tick_params(labelsize=9, colors=INK, length=3, width=0.6)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set(linewidth=0.6, color=GREY)


def _draw_lines(axes: "Axes", picture: Picture) -> None:
    axes.grid(color=PALE, linewidth=0.6)
    for line in picture.references:
        axes.plot(line.x, line.y, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)))
    for index, line in enumerate(picture.lines):
        width, above = _width(line, picture), 3.0 - index / 100
        style = {"color": _colour(index), "linewidth": width, "zorder": above, **_marker(line)}
        axes.plot(line.x, line.y, clip_on=False, **style)
    if picture.limits:
        axes.set(xlim=picture.limits[:2], ylim=picture.limits[2:])
    if picture.ticks:
        axes.set_xticks([at for at, _ in picture.ticks], [text for _, text in picture.ticks])
    _write_key(axes, picture)


def _write_key(axes: "Axes", picture: Picture) -> None:
    """Name every line in its own colour in the corner where no curve runs, first line uppermost."""
    across, start, align, up = CORNERS[picture.key]
    named = [(_text(line), _colour(index), "bold") for index, line in enumerate(picture.lines)]
    named += [(line.label, GREY, "normal") for line in picture.references]
    for row, (text, colour, weight) in enumerate(reversed(named) if up > 0 else named):
        axes.text(
            across,
            start + up * row * 0.058,
            text,
            transform=axes.transAxes,
            ha=align,
            va="bottom" if up > 0 else "top",
            fontsize=9.5,
            color=colour,
            fontweight=weight,
            bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.0},
        )


def _draw_bars(axes: "Axes", picture: Picture) -> None:
    """Horizontal bars, the first uppermost, each with its text at its end."""
    axes.grid(axis="x", color=PALE, linewidth=0.6)
    rows = range(len(picture.bars))
    axes.barh(rows, [bar.value for bar in picture.bars], color=COLOURS[0], height=0.66)
    axes.set_yticks(rows, [_shorten(bar.label) for bar in picture.bars])
    axes.tick_params(axis="y", length=0, labelsize=9 if len(picture.bars) <= 12 else 8)
    axes.set_xlim(0.0, _widest(picture) * 1.15)
    axes.set_ylim(len(picture.bars) - 0.4, -0.6)
    _mark_levels(axes, picture.references)
    _label_bars(axes, picture.bars)


def _label_bars(axes: "Axes", bars: Sequence[Bar]) -> None:
    for row, bar in enumerate(bars):
        axes.annotate(
            bar.text,
            (bar.value, row),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=INK,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        )


def _mark_levels(axes: "Axes", references: Sequence[Line]) -> None:
    """Upright lines named above the bars; one that would be drawn over its neighbour's name is left out."""
    width = axes.get_xlim()[1]
    free = 0.0
    for line in references:
        at = line.x[0]
        if free <= at < width:
            axes.axvline(at, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)))
            axes.text(at, 1.01, line.label, transform=axes.get_xaxis_transform(), fontsize=8, color=GREY)
            free = at + 0.11 * width


def _widest(picture: Picture) -> float:
    return max([bar.value for bar in picture.bars] + [1e-9])


def _text(line: Line) -> str:
    return f"{line.label}  {line.figure}" if line.figure else line.label


def _width(line: Line, picture: Picture) -> float:
    """Thinner where many days jump up and down side by side; a curve of many points is smooth."""
    return 1.0 if picture.ticks and len(line.x) > 90 else 1.8


def _marker(line: Line) -> dict[str, Any]:
    return {"marker": "o", "markersize": 4.5, "markeredgecolor": "white"} if line.markers else {}


def _colour(index: int) -> str:
    return COLOURS[index] if index < len(COLOURS) else GREY


def _shorten(label: str, longest: int = 28) -> str:
    return label if len(label) <= longest else label[: longest - 1] + "…"


def _png(canvas: "FigureCanvasAgg") -> bytes:
    """PNG of few colours: a third of full colour's size, without matplotlib's version in it."""
    from PIL import Image

    canvas.draw()
    pixels = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    buffer = io.BytesIO()
    # MAXCOVERAGE keeps a colour that only a thin line has; the default blends it into its neighbours.
    few = pixels.quantize(COLOURS_KEPT, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
