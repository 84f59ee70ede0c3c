"""A notebook in a real JupyterLab in Chromium: open it, run it, look for faults, move its sliders.

`Lab` starts a JupyterLab of its own (loopback, random port and token, private settings, its own progress folder) and
stops it again; nothing is saved but by `Notebook.save`. `Notebook` is one notebook open in it, untrusted as in a fresh
clone. Uses the Chromium of your system.
Left out: mouse drags, buttons and lists. The keyboard reaches every slider, and it is the stricter test.
"""

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

PATIENCE = 180  # seconds for anything that must come: a loaded machine loses time by it, and no test
ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "notebooks"))
from course import widget_state  # noqa: E402

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    "docmanager-extension/plugin": {"autosave": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
}
FOLDERS = ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTERLAB_SETTINGS_DIR")
FOLDERS += ("JUPYTERLAB_WORKSPACES_DIR", "JUPYTERLAB_DIR", "IPYTHONDIR", "PPO_LESSON_HOME", "MPLCONFIGDIR")
WIDGET_FAULT = re.compile(
    r"(?i)error (displaying|creating|rendering)[\w ]*widget|loading widget|failed to load model|model not found"
    r"|could not create a (model|view)|javascript error|could not be drawn|<figure size"
)
READY = "() => window.jupyterapp?.shell.currentWidget?.content?.widgets?.length > 0"
START = """async () => {
  const app = window.jupyterapp, panel = app.shell.currentWidget;
  await app.restored; await panel.context.ready; await panel.sessionContext.ready;
  app.shell.collapseLeft(); app.shell.collapseRight();
  window.kernelErrors = [];   // an exception in a slider's callback is shown nowhere else
  panel.sessionContext.iopubMessage.connect((_, message) => {
    if (message.header.msg_type === 'error' && message.parent_header.msg_type !== 'execute_request')
      window.kernelErrors.push(message.content.ename + ': ' + message.content.evalue);
  });
}"""
RUN = """() => { const app = window.jupyterapp; window.finished = false;
  app.commands.execute('notebook:clear-all-cell-outputs');
  app.commands.execute('notebook:run-all-cells').finally(() => { window.finished = true; }); }"""
AT_REST = (
    "() => !document.querySelector('.ppo-busy')"  # a panel that retrains does so while its kernel calls itself idle
)
IDLE = "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'"
CELLS = """() => window.jupyterapp.shell.currentWidget.content.widgets.map((cell, index) => ({ index, id: cell.model.id,
  type: cell.model.type, tags: cell.model.getMetadata('tags') || [], count: cell.model.executionCount ?? null,
  outputs: cell.model.outputs?.toJSON() || [], text: cell.outputArea?.node.textContent || '',
  blank: [...(cell.outputArea?.node.querySelectorAll('img') || [])].some(i => i.complete && !i.naturalWidth) }))"""
ALL_RUN = """() => window.jupyterapp.shell.currentWidget.content.widgets.every(
  cell => cell.model.type !== 'code' || cell.model.executionCount !== null)"""
SLIDERS = """() => [...document.querySelectorAll('.jp-OutputArea .noUi-handle[role=slider]')].map((handle, index) => {
  handle.setAttribute('data-slider', index);
  const own = handle.closest('.widget-slider, .widget-hslider');  // a panel is a widget with many labels
  return { index, label: own.querySelector('.widget-label')?.textContent || '',
    disabled: !!handle.closest('[disabled]') }; })"""
PICTURES = """index => { const cell = document.querySelector(`[data-slider="${index}"]`).closest('.jp-Cell');
  return [...cell.querySelectorAll('.jp-OutputArea-output img, .jp-OutputArea-output svg')]
    .filter(e => !e.closest('button')).map(e => e.src || e.outerHTML).join('|'); }"""
LATENCY = """index => { const look = eval(PICTURES), before = look(index); window.latency = null; window.said = null;
  const me = window.watching = {};  // a watch that still waits for the picture of an older key ends here
  document.addEventListener('keydown', () => { const start = performance.now();
    const frame = async () => { if (window.watching !== me) return;
      const cell = document.querySelector(`[data-slider="${index}"]`).closest('.jp-Cell');
      if (cell.querySelector('.ppo-busy')) window.said ??= performance.now() - start;
      if (look(index) === before) return requestAnimationFrame(frame);
      await Promise.all([...cell.querySelectorAll('.jp-OutputArea-output img')].map(i => i.decode().catch(() => {})));
      if (window.watching === me) window.latency = performance.now() - start; };
    requestAnimationFrame(frame); }, {once: true, capture: true}); }""".replace("PICTURES", json.dumps(PICTURES))


def chromium():
    """The path of the system's Chromium, or SystemExit with what to install."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM)), None)
    return found or sys.exit("The browser test needs Chromium: apt-get install chromium, or set CHROMIUM to its path.")


class Lab:
    """`with Lab() as lab:` a JupyterLab on this repository and a browser; `lab.open(path)` gives a Notebook.

    theme: "Light" or "Dark". keep: does it save the state of widgets, as the course's JupyterLab does? browser: that of
    another Lab, while that is running.
    """

    def __init__(self, root=ROOT, scale=1, *, theme="Light", keep=True, browser=None):
        self.root, self.scale, self.theme, self.keep, self.browser = Path(root), scale, theme, keep, browser

    def __enter__(self):
        from playwright.sync_api import sync_playwright

        with contextlib.ExitStack() as stack:  # undoes, in reverse, whatever was done before a failure
            self.folder = Path(tempfile.mkdtemp(prefix="ppo_lesson_lab_"))
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            if self.browser is None:
                playwright = stack.enter_context(sync_playwright())
                self.browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
                stack.callback(self.browser.close)
            self._serve(stack)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def _serve(self, stack):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.token, self.address = secrets.token_hex(16), f"http://127.0.0.1:{port}"
        theme = {"apputils-extension/themes": {"theme": f"JupyterLab {self.theme}", "adaptive-theme": False}}
        for name, values in (SETTINGS | theme).items():
            file = self.folder / "JUPYTERLAB_SETTINGS_DIR" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values))
        (self.folder / "JUPYTERLAB_DIR").mkdir()  # a JupyterLab as installed, but for its settings
        for part in ("static", "schemas", "themes"):
            (self.folder / "JUPYTERLAB_DIR" / part).symlink_to(widget_state.settings().parent / part)
        environment = os.environ | {name: str(self.folder / name) for name in FOLDERS}
        for name in ("MPLBACKEND", "JUPYTER_TOKEN", "JUPYTER_CONFIG_PATH"):
            environment.pop(name, None)
        # The user's own list of fonts may be that of an environment that is gone: here it is made anew, once.
        subprocess.run([sys.executable, "-c", "import matplotlib.font_manager"], env=environment, check=True)
        if self.keep:  # in the way and the words of `make lab`
            subprocess.run(
                [sys.executable, "-m", "course.widget_state"], env=environment, cwd=ROOT / "notebooks", check=True
            )
        command = [
            sys.executable,
            "-m",
            "jupyterlab",
            "--no-browser",
            "--ip=127.0.0.1",
            f"--port={port}",
            "--allow-root",
        ]
        command += ["--ServerApp.port_retries=0", f"--IdentityProvider.token={self.token}"]
        command += [f"--ServerApp.root_dir={self.root}", "--LabApp.expose_app_in_browser=True"]
        log = stack.enter_context((self.folder / "server.log").open("w"))
        self.server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=self.root)
        stack.callback(self._stop)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self.server.poll() is not None:
                break
            with contextlib.suppress(OSError):
                return direct.open(f"{self.address}/api/status?token={self.token}", timeout=10).read()
            time.sleep(0.25)
        raise RuntimeError("JupyterLab did not start:\n" + (self.folder / "server.log").read_text()[-2000:])

    def _stop(self):
        self.server.terminate()  # it ends its kernels first
        self.server.wait(PATIENCE)

    def open(self, path, width=1200):
        """The notebook at `path`, open in a page of its own, `width` pixels wide, its kernel ready."""
        return Notebook(self, Path(path), width)


class Notebook:
    """One open notebook. Faults that concern the whole page are collected in `hosts` and `console`."""

    def __init__(self, lab, path, width=1200):
        self.lab, self.path, self.hosts, self.console = lab, path, set(), []
        self.page = lab.browser.new_page(viewport={"width": width, "height": 1600}, device_scale_factor=lab.scale)
        self.page.set_default_timeout(PATIENCE * 1000)
        self.page.on("console", lambda m: self.console.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.on("request", self._request)
        where = path.resolve().relative_to(lab.root.resolve()).as_posix()
        self.page.goto(f"{lab.address}/lab/workspaces/{secrets.token_hex(4)}/tree/{where}?token={lab.token}")
        self.page.wait_for_function(READY)
        self.page.evaluate(START)
        self.page.wait_for_function(IDLE)

    def _request(self, request):
        host = re.match(r"(?:https?|wss?)://([^/:]+)", request.url)
        if host and host[1] != "127.0.0.1":
            self.hosts.add(host[1])

    def close(self):
        """Close the page and end its kernel."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        self.page.close()

    def run(self, seconds=600):
        """Clear all outputs and run all cells.

        JupyterLab calls Run All finished at a cell that raises on purpose, while the cells after it still run: wait for
        these too, a minute at most. What has not run by then, `faults` tells.
        """
        from playwright.sync_api import TimeoutError as TooLate

        self.page.evaluate(RUN)
        self.page.wait_for_function("() => window.finished", timeout=seconds * 1000)
        with contextlib.suppress(TooLate):
            self.page.wait_for_function(ALL_RUN, timeout=60_000)
        self.settle()

    def kernel(self, code):
        """Run code in the notebook's kernel, in no cell, after all that the page has asked of it before."""
        kernel = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
        run = f"{kernel}.requestExecute({{code, silent: true}}).done.finally(() => {{ window.answered = true; }})"
        self.page.evaluate(f"code => {{ window.answered = false; {run}; }}", code)
        self.page.wait_for_function("() => window.answered")

    def save(self):
        """Save the notebook to its file, as Ctrl-S does. Only for copies."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        self.settle()

    def settle(self):
        """Wait until the kernel and its panels have nothing more to do and the page has caught up."""
        self.kernel("")  # what was asked before has been done then, however late the kernel heard of it
        self.page.wait_for_function(AT_REST)
        self.page.wait_for_function(IDLE)
        self.page.wait_for_timeout(150)

    def faults(self, executed=True):
        """Everything wrong on the page now, in words: a list, empty when all is well."""
        found = [f"asked the host {host}" for host in sorted(self.hosts)]
        found += [f"console: {text[:200]}" for text in self.console if re.search(r"(?i)widget|comm\b", text)]
        found += [f"kernel: {text[:200]}" for text in self.page.evaluate("() => window.kernelErrors")]
        for cell in self.page.evaluate(CELLS):
            name = f"cell {cell['id']}"
            if executed and cell["type"] == "code" and cell["count"] is None:
                found.append(f"{name} did not run")
            if fault := WIDGET_FAULT.search(cell["text"]):
                found.append(f"{name} shows {fault[0]!r}")
            if cell["blank"]:
                found.append(f"{name} has a picture that does not load")
            for output in cell["outputs"]:
                if output["output_type"] == "error" and "raises-exception" not in cell["tags"]:
                    found.append(f"{name} ends in {output['ename']}: {output['evalue'][:200]}")
                if output.get("name") == "stderr":
                    found.append(f"{name} writes to stderr: {''.join(output['text'])[:200]}")
        return found

    def sliders(self):
        """The sliders of the page: a list of {index, label, disabled}."""
        return self.page.evaluate(SLIDERS)

    def pictures(self, slider):
        """What the pictures in the slider's cell look like now, as one string to compare."""
        return self.page.evaluate(PICTURES, slider["index"])

    def _type(self, slider, key):
        """Press a key on the slider, as a learner without a mouse would. Did its value move?"""
        handle = self.page.locator(f"[data-slider='{slider['index']}']")
        before = handle.get_attribute("aria-valuetext")  # aria-valuenow is rounded to tenths
        handle.press(key)
        return handle.get_attribute("aria-valuetext") != before

    def press(self, slider, key, seconds=5):
        """Press a key on the slider and let the page settle. Did another picture follow?

        seconds: for the page, after the kernel has done all.
        """
        before, moved = self.pictures(slider), self._type(slider, key)
        self.settle()
        end = time.monotonic() + seconds * moved
        while (same := self.pictures(slider) == before) and time.monotonic() < end:
            self.page.wait_for_timeout(30)
        return not same

    def latency(self, slider, key):
        """Milliseconds from the key to the first frame with another picture; None if none came.

        None is told 3 s after the key, or after the kernel has done all.

        `said` is then when a panel that retrains first said so, in milliseconds; None for a panel that draws.
        """
        self.said = None
        self.page.wait_for_function(AT_REST)
        self.page.wait_for_timeout(100)
        self.page.evaluate(LATENCY, slider["index"])
        if not self._type(slider, key):
            return None
        for last in (False, True):
            for _ in range(150):
                if (milliseconds := self.page.evaluate("() => window.latency")) is not None:
                    self.said = self.page.evaluate("() => window.said")
                    return milliseconds
                self.page.wait_for_timeout(20)
            if not last:
                self.settle()

    def screenshots(self, folder):
        """The whole notebook as pictures NAME-01.png, NAME-02.png, ... in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        view = self.page.locator(".jp-NotebookPanel .jp-WindowedPanel-outer").first
        height, step = view.evaluate("e => { e.scrollTop = 0; return [e.scrollHeight, e.clientHeight]; }")
        for number in range(-(-height // step)):
            view.evaluate("(e, y) => { e.scrollTop = y; }", number * step)
            self.page.wait_for_timeout(100)
            self.page.screenshot(path=folder / f"{self.path.stem}-{number + 1:02d}.png")
