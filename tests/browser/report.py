"""What the browser sees, for the README, for the benchmarks, and for the eye.

    python tests/browser/report.py screenshots    cells tagged `screenshot`, as they look in JupyterLab, to docs/images/
    python tests/browser/report.py latency        from a key on a slider to the new picture, 20 keys a slider
    python tests/browser/report.py sheets         all committed pictures on a light and on a dark page, to screenshots/

Panels are of two kinds: those that draw, and those that retrain (they say so while they compute). Some of these keep
what they have computed, so that only the first time at a value counts. GOALS are for a machine that does nothing else.

A notebook's cell gets its picture with `# %% <id> tags=screenshot` (tools/notebooks.py).
"""

import argparse
import statistics
import sys

import nbformat
from lab import CELLS, FLAGS, ROOT, Lab, chromium
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(ROOT / "tools"))
import notebooks

GOALS = {"draws": ("p95", 80), "retrains": ("median", 400)}  # ms
SAID = 100 - 40  # ms; the words are in the page then, and seen 40 ms later (SHOWN in notebooks/course/pictures/busy.py)


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
    everything, said = {kind: [] for kind in GOALS}, []
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
                        if notebook.said is not None:
                            kind = "retrains"
                            said.append(notebook.said)
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
    if len(said) > 1:
        now = quantiles(said)
        print(f"those say so: median {now['median']:.0f}, p95 {now['p95']:.0f} ms after the key (goal {SAID} ms)")


def sheets(paths, folder):
    """Contact sheets: the pictures a notebook stores, as JupyterLab shows them unrun: `sheet-06-dark.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        for path in paths:
            tiles = [f"<div><p>{cell}</p>{picture}</div>" for cell, picture in pictures(path)]
            for name, paper, ink in (("light", "#fff", "#222"), ("dark", "#111", "#ddd")):
                page = browser.new_page(viewport={"width": 1640, "height": 400})
                look = f"body {{ background: {paper}; color: {ink}; font: 15px sans-serif }} main {{ columns: 2 }}"
                look += " main > div { break-inside: avoid } main img { max-width: 100%; height: auto }"
                page.set_content(f"<!doctype html><style>{look}</style><main>{''.join(tiles)}</main>")
                page.wait_for_function("() => [...document.images].every(i => i.complete)")
                page.screenshot(path=folder / f"sheet-{path.name[:2]}-{name}.png", full_page=True)
                page.close()
            print(f"{path.name[:2]}: {len(tiles)} pictures", flush=True)
        browser.close()


def pictures(path):
    """(cell id, HTML) of every picture that the notebook at `path` stores."""
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "<img" in data.get("text/html", ""):
                yield cell.id, data["text/html"]
            elif "image/png" in data:
                size = 'width="{width}" height="{height}"'.format(**output.metadata["image/png"])
                yield cell.id, f'<img src="data:image/png;base64,{data["image/png"]}" {size}>'
            elif "image/svg+xml" in data:
                yield cell.id, data["image/svg+xml"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["screenshots", "latency", "sheets"])
    parser.add_argument("notebooks", nargs="*", type=notebooks.named, help="files or numbers; default: all")
    args = parser.parse_args()
    chosen = args.notebooks or notebooks.all_notebooks()
    if args.what == "latency":
        latency(chosen)
    elif args.what == "sheets":
        sheets(chosen, ROOT / "screenshots")
    else:
        screenshots(chosen, ROOT / "docs" / "images")
