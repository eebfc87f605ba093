"""A picture with a slider, on a page without a kernel, a network or a library.

Frames(draw, values, name="sigma", alt=lambda sigma: f"... at sigma = {sigma}")

Executed for the book, every frame is drawn at once and the page carries them all under a native range input: it
moves by mouse, touch and keyboard, each frame has its own alt text, and print shows one picture. With a live
kernel the same call is an ipywidgets slider that draws on demand.
"""

import base64
import hashlib
import html
import io
import json
from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
from PIL import Image

from companion import record

DPI = 130  # the article is about 720 px wide; figures of 7 inches stay sharp when the screen has more pixels than that
_COLORS = 128  # a palette: lines and fills need no more, and a frame then weighs a third

# Written once per slider: the page has no script of ours to depend on, and a copy of the figure elsewhere still works.
MOVE = (
    "const f=this.closest('.frames'),i=+this.value;"
    "f.querySelectorAll('img').forEach((m,k)=>m.hidden=k!==i);"
    "const t=JSON.parse(this.dataset.labels)[i];f.querySelector('output').value=t;this.setAttribute('aria-valuetext',t)"
)


class Frames:
    """Figures under one slider.

    draw: value -> matplotlib Figure. values: at least two. name: what the slider moves. alt: value -> what is
    seen, in words, at least 20 characters and different for each frame. label: value -> the text beside the
    slider. start: index of the frame shown first, and in print (the middle one unless said). Raises ``ValueError``
    for too few values or alt texts that say too little.
    """

    def __init__(
        self,
        draw: Callable,
        values: Sequence,
        *,
        name: str,
        alt: Callable[..., str],
        label: Callable[..., str] = "{:g}".format,
        start: int | None = None,
    ):
        self.draw, self.values, self.name = draw, list(values), name
        if len(self.values) < 2:
            raise ValueError(f"values: expected at least two frames, got {len(self.values)}")
        self.alts, self.labels = [alt(v) for v in self.values], [label(v) for v in self.values]
        if min(map(len, self.alts)) < 20 or len(set(self.alts)) < len(self.alts):
            raise ValueError(
                f"alt: expected a text of at least 20 characters for each frame, all different, got {self.alts[:2]}..."
            )
        self.start = len(self.values) // 2 if start is None else range(len(self.values))[start]
        self.pictures = [_png(draw(v)) for v in self.values] if record.unattended() else []

    def _ipython_display_(self):
        from IPython.display import display

        if self.pictures:
            text = f"{self.name} from {self.labels[0]} to {self.labels[-1]}: {self.alts[self.start]}"
            display({"text/html": self.markup(), "image/png": self.pictures[self.start], "text/plain": text}, raw=True)
        else:
            display(self.widget())

    def widget(self):
        """The live form: an ipywidgets slider that draws the frame it stands on.

        The picture is an ``Image``: an ``Output`` waits for messages that nbconvert and papermill never send.
        """
        import ipywidgets

        options = list(zip(self.labels, self.values, strict=True))
        slider = ipywidgets.SelectionSlider(
            options=options, value=self.values[self.start], description=self.name, continuous_update=False
        )
        shown = ipywidgets.Image(layout=ipywidgets.Layout(max_width="min(100%, 720px)"))

        def redraw(change):
            shown.value = _png(self.draw(change["new"]))

        slider.observe(redraw, names="value")
        redraw({"new": slider.value})
        return ipywidgets.VBox([slider, shown])

    def markup(self) -> str:
        """The static form, as HTML that stands on its own."""
        e = html.escape
        uid = "frames-" + hashlib.sha256("".join([self.name, *self.alts]).encode()).hexdigest()[:12]
        pictures = "".join(
            f'<img {"" if k == self.start else "hidden "}alt="{e(alt)}" '
            f'src="data:image/png;base64,{base64.b64encode(png).decode()}">'
            for k, (alt, png) in enumerate(zip(self.alts, self.pictures, strict=True))
        )
        shown, last = e(self.labels[self.start]), len(self.pictures) - 1
        slider = (
            f'<label for="{uid}">{e(self.name)}</label>'
            f'<input id="{uid}" type="range" min="0" max="{last}" value="{self.start}" autocomplete="off" '
            f'data-labels="{e(json.dumps(self.labels))}" aria-valuetext="{shown}" oninput="{e(MOVE)}">'
            f'<output for="{uid}">{shown}</output>'
        )
        return f'<figure class="frames">{pictures}<div class="frames-slider">{slider}</div></figure>'


def _png(figure) -> bytes:
    """The figure as a small PNG, the same bytes for the same figure."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI)
    plt.close(figure)
    small = io.BytesIO()
    Image.open(drawn).convert("RGB").quantize(_COLORS, dither=Image.Dither.NONE).save(
        small, format="png", optimize=True
    )
    return small.getvalue()
