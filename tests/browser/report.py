"""What the browser sees, for the README and for the benchmarks.

    python tests/browser/report.py screenshots    cells tagged `screenshot`, as they look in JupyterLab, to docs/images/
    python tests/browser/report.py latency        from a key on a slider to the new picture, 20 keys a slider

Panels are of two kinds: those that draw, and those that retrain (they say so while they compute). Some of these keep
what they have computed, so that only the first time at a value counts. GOALS are for a machine that does nothing else.

A notebook's cell gets its picture with `# %% <id> tags=screenshot` (tools/notebooks.py).
"""

import argparse
import statistics
import sys
from pathlib import Path

from lab import CELLS, ROOT, Lab

sys.path.insert(0, str(ROOT / "tools"))
import notebooks

GOALS = {"draws": ("p95", 80), "retrains": ("median", 400)}  # ms


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


def quantiles(times):
    """{"median": ..., "p95": ...} of two or more times."""
    return {"median": statistics.median(times), "p95": statistics.quantiles(times, n=20, method="inclusive")[-1]}


def latency(paths, keys=20):
    """Print one line a slider: notebook, label, kind, median and p95 in milliseconds; then one line a kind."""
    print(f"{'notebook':<9} {'slider':<28} {'kind':<8} {'median ms':>9} {'p95 ms':>7}")
    everything = {kind: [] for kind in GOALS}
    with Lab() as lab:
        for path in paths:
            notebook = run(lab, path)
            for slider in notebook.sliders():
                if slider["disabled"]:
                    continue
                notebook.press(slider, "Home")
                times, kind = {"ArrowRight": [], "ArrowLeft": []}, "draws"
                for key in times:
                    for _ in range(keys // 2):
                        if (milliseconds := notebook.latency(slider, key)) is not None:
                            times[key].append(milliseconds)
                        kind = "retrains" if notebook.said is not None else kind
                found = times["ArrowRight"] + (times["ArrowLeft"] if kind == "draws" else [])
                line = f"{path.name[:2]:<9} {slider['label']:<28} {kind:<8}"
                if len(found) < 2:
                    print(f"{line} {'no new picture':>17}", flush=True)
                    continue
                everything[kind] += found
                now, (which, goal) = quantiles(found), GOALS[kind]
                over = f"  {which} over {goal}" if now[which] > goal else ""
                print(f"{line} {now['median']:9.0f} {now['p95']:7.0f}{over}", flush=True)
            notebook.close()
    for kind, (which, goal) in GOALS.items():
        if len(everything[kind]) > 1:
            now = quantiles(everything[kind])[which]
            print(f"{len(everything[kind])} keys on panels that {kind[:-1]}: {which} {now:.0f} ms (goal {goal} ms)")


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
