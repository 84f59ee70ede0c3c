"""What a committed notebook keeps of its outputs: nothing of this run or this machine, and every picture's words.

Left out: sizes. `save` in notebooks.py refuses a notebook that is too large.
"""

import base64
import html
import io
import json
import os
import re
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def clean(output, home):
    """An output without what changes from run to run: the random id of a widget, the name of the progress folder.

    A list: behind the still picture of a panel comes what it shows in words, as `show` does it (a live panel says it by
    itself). Of an error that a cell shows on purpose only the last line is kept: the frames above it name this
    machine's files.
    """
    panel = output.get("data", {}).pop(WIDGET_VIEW, None) is not None
    alt = output.get("metadata", {}).get("image/png", {}).get("alt", "")
    if output["output_type"] == "error":
        output["traceback"] = [f"{output['ename']}: {output['evalue']}"]
    text = json.dumps(output).replace(json.dumps(home)[1:-1], "~/.ppo_lesson")
    for place in {str(ROOT), str(Path.home())} - {"/"}:
        if json.dumps(place)[1:-1] + os.sep in text:
            raise ValueError(f"an output shows a path of this machine: {place}")
    cleaned = [nbformat.from_dict(png_beside(json.loads(text)))]
    if panel and alt:
        from course.pictures.page import words

        cleaned.append(nbformat.v4.new_output("display_data", {"text/html": words(alt)}))
    return cleaned


def png_beside(output):
    """The output, with `image/png` beside an SVG picture, for pages that show neither raw SVG nor data in HTML.

    A film is an SVG in an `<img>`; its PNG is the frame it stands on. Of several films in one output, the first.

    Twice as many dots as CSS pixels, in 256 colours, as it stands in the notebook's file. The letters are matplotlib's
    DejaVu, the same on every machine; a line of text with a letter that they lack, a Chinese one, is drawn as a whole
    in a font of the system.
    """
    data, metadata = output.get("data", {}), output.get("metadata", {})
    page = "".join(data.get("text/html", ""))
    film = re.search(r'<img alt="([^"]*)" src="data:image/svg\+xml;base64,([^"]+)"', page)
    if "image/png" in data or not ("image/svg+xml" in data or film):
        return output
    import resvg_py
    from matplotlib import get_data_path
    from PIL import Image

    from course.pictures.page import svg_size

    picture = "".join(data.get("image/svg+xml", "")) or base64.b64decode(film[2]).decode()
    about = metadata.get("image/svg+xml") or ({"alt": html.unescape(film[1])} if film else {})
    fonts = [str(path) for path in sorted(Path(get_data_path(), "fonts", "ttf").glob("DejaVuSans*.ttf"))]
    drawn = resvg_py.svg_to_bytes(svg_string=picture, zoom=2, background="white", font_files=fonts)
    size = dict(zip(("width", "height"), svg_size(picture)))
    small = io.BytesIO()
    Image.open(io.BytesIO(bytes(drawn))).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
        small, "PNG", optimize=True
    )
    data["image/png"] = base64.b64encode(small.getvalue()).decode()
    metadata["image/png"] = {**about, **size, "unconfined": True}
    return output
