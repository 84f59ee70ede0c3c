"""What the browser sees, for the README and for the benchmarks.

    python tests/browser/report.py screenshots    cells tagged `screenshot`, as they look in JupyterLab, to docs/images/
    python tests/browser/report.py latency        from a key on a slider to the new picture: median and p95 of 20 keys

A notebook's cell gets its picture with `# %% <id> tags=screenshot` (tools/notebooks.py).
"""

import argparse
import statistics
import sys
from pathlib import Path

from lab import CELLS, ROOT, Lab

sys.path.insert(0, str(ROOT / "tools"))
import notebooks


def run(lab, path):
    """The notebook at `path`, open and run; ends the program if something is wrong with it."""
    notebook = lab.open(path)
    notebook.run()
    if faults := notebook.faults():
        sys.exit(f"{path.name}: " + "\n".join(faults))
    return notebook


def screenshots(paths, folder):
    """Run the notebooks that have a tagged cell; one PNG a tagged cell: `01-value-map.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    with Lab(scale=2) as lab:
        for path in paths:
            if '"screenshot"' not in path.read_text("utf-8"):
                continue
            notebook = run(lab, path)
            for cell in notebook.page.evaluate(CELLS):
                if "screenshot" in cell["tags"]:
                    area = notebook.page.locator(".jp-Notebook .jp-Cell").nth(cell["index"])
                    file = folder / f"{path.name[:2]}-{cell['id']}.png"
                    area.locator(".jp-OutputArea").first.screenshot(path=file)
                    print(file.relative_to(ROOT), flush=True)
            notebook.close()


def latency(paths, keys=20):
    """Print one line a slider: notebook, label, median and p95 in milliseconds."""
    print(f"{'notebook':<9} {'slider':<28} {'median ms':>9} {'p95 ms':>7}")
    with Lab() as lab:
        for path in paths:
            notebook = run(lab, path)
            for slider in notebook.sliders():
                if slider["disabled"]:
                    continue
                notebook.press(slider, "Home")
                turns = ["ArrowRight"] * (keys // 2) + ["ArrowLeft"] * (keys // 2)
                times = [t for key in turns if (t := notebook.latency(slider, key)) is not None]
                if len(times) < 2:
                    print(f"{path.name[:2]:<9} {slider['label']:<28} {'no new picture':>17}", flush=True)
                    continue
                p95 = statistics.quantiles(times, n=20, method="inclusive")[-1]
                line = f"{path.name[:2]:<9} {slider['label']:<28} {statistics.median(times):9.0f} {p95:7.0f}"
                print(line, flush=True)
            notebook.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["screenshots", "latency"])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all")
    args = parser.parse_args()
    chosen = args.notebooks or notebooks.all_notebooks()
    if args.what == "latency":
        latency(chosen)
    else:
        screenshots(chosen, ROOT / "docs" / "images")
