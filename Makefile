# make lab          install if needed, then open JupyterLab on notebook 00 (ARGS="--no-browser" and the like go to it)
# make test         install what tests need; lint, unit tests, every notebook as you get it
# make check        in two minutes: lint, doctests, the fast tests
# make portable     numeric tests and notebooks 00 to 10 as on other machines: older instructions, other numbers of threads
# make nbval        the notebooks under nbval with nothing but requirements.txt installed (NB=06: this one)
# make notebooks    execute the notebooks and store their outputs (ARGS=--stale: only those that changed)
# make browser      the notebooks in a real JupyterLab in Chromium (FULL="00 06": run these, open the others)
# make html         every notebook as a page, into html/ (ARGS="notebooks/06*.ipynb": these)
# make screenshots  write the README's pictures and its film into docs/images/
# make bench        the benchmarks, and how soon a picture follows its slider
# make colab-like   the notebooks with the older packages that Colab has
# make colab        the course as one file for Colab, dist/ppo-lesson-colab.zip (needs nothing installed)
# make format       bring code and notebooks into the form that the tests want
# make clean        remove everything that was made here, the virtual environment included
#
# PYTHON=python3.12 makes the environment with another Python. Paths are relative, so that spaces in them do no harm.

PYTHON ?= python3
VENV := .venv/bin/python
NUMERIC := numeric and not program
ROOT_USER := $(if $(filter 0,$(shell id -u)),--allow-root)
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
# On both cores. A worker that has nothing left takes over tests of the other; the cells of a notebook stay together.
JOBS ?= 2
PYTEST := $(VENV) -m pytest -n $(JOBS) --dist worksteal
LAX := --nbval-lax --nbval-current-env --nbval-cell-timeout 600 --nbval-kernel-startup-timeout 300
NBVAL := $(VENV) -m pytest -n $(JOBS) --dist loadscope $(LAX)
# Which instructions torch and oneDNN may use, and how many threads. Machines that lack one of them ignore it.
MACHINES ?= ATEN_CPU_CAPABILITY=default ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=SSE41 ONEDNN_MAX_CPU_ISA=AVX2 \
            OMP_NUM_THREADS=2
# Workers of several threads each would wait for one another: then one worker.
ALONE := $$(case "$$machine" in OMP_*) echo "-n 1";; esac)

.PHONY: lab test lint check portable portable-tests nbval notebooks browser html screenshots bench colab-like colab format clean

lab: .venv/.lab
	@cd notebooks && ../$(VENV) -m course.widget_state
	$(VENV) -m jupyterlab $(ROOT_USER) $(ARGS) notebooks/00_start_here.ipynb

test: lint
	$(ONE_THREAD) $(PYTEST)
	@home=$$(mktemp -d); trap 'rm -rf "$$home"' EXIT; \
	if ! ls notebooks/*.ipynb >/dev/null 2>&1; then echo "no notebooks here"; exit; fi; set -ex; \
	$(ONE_THREAD) PPO_LESSON_HOME="$$home" $(NBVAL) notebooks/*.ipynb

lint: .venv/.test
	$(VENV) -m ruff check
	$(VENV) -m ruff format --check

check: lint
	$(ONE_THREAD) $(PYTEST) -p no:nbval -m "not slow"

portable-tests: .venv/.test
	@set -e; for machine in $(MACHINES); do echo "$$machine"; \
	env $(ONE_THREAD) "$$machine" $(PYTEST) $(ALONE) -q -m "$(NUMERIC)" tests; done

portable: NUMERIC := numeric
portable: portable-tests
	@home=$$(mktemp -d); trap 'rm -rf "$$home"' EXIT; set -e; for machine in $(MACHINES); do echo "$$machine"; \
	env $(ONE_THREAD) "$$machine" PPO_LESSON_HOME="$$home" $(NBVAL) $(ALONE) -q notebooks/0*.ipynb notebooks/10*.ipynb; done

nbval: .venv/.lab
	@home=$$(mktemp -d); trap 'rm -rf "$$home"' EXIT; set -x; \
	$(ONE_THREAD) PPO_LESSON_HOME="$$home" $(VENV) -m pytest $(LAX) notebooks/$(NB)*.ipynb

notebooks: .venv/.test
	$(VENV) tools/notebooks.py execute $(ARGS)

browser: .venv/.browser
	FULL="$(FULL)" $(VENV) -m pytest tests/browser

html: .venv/.lab
	$(VENV) -m nbconvert --to html --template html --TemplateExporter.extra_template_basedirs=tools --output-dir html \
	$(or $(ARGS),notebooks/*.ipynb)

screenshots: .venv/.browser
	$(VENV) tests/browser/report.py screenshots
	$(VENV) tools/film.py

bench: .venv/.bench
	@for script in benchmarks/*.py; do echo "$$script"; $(ONE_THREAD) $(VENV) "$$script" || exit 1; done
	$(VENV) tests/browser/report.py latency

colab-like: .venv/.test
	$(VENV) tools/colab_like.py

colab:
	$(PYTHON) tools/colab_zip.py

format: .venv/.test
	$(VENV) -m ruff format
	$(VENV) -m ruff check --fix

clean:
	rm -rf dist .venv .venv-colab .pytest_cache .ruff_cache .hypothesis html screenshots ppo_lesson.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +

# Each file below says "installed" and is written last, with those of the smaller sets it contains. If .installing is still
# there, an installation was interrupted: the environment is made afresh. A second run finds the file newer than the
# requirements and installs nothing. What the first `make lab` says was measured with the packages of constraints.txt.
BEFORE := Installing the course in .venv: about 3 minutes and 1.5 GB; on Linux, where PyTorch brings libraries for GPUs, 5 GB \
          (README.md says how to get the small one). You may interrupt it and type make lab again.
AFTER := Installed. JupyterLab opens notebook 00 in your browser by itself. If it does not, open the address below that begins \
         with http://localhost. Ctrl-C, twice, ends it; the next make lab starts at once.
.venv/.lab: EXTRA := [course]
.venv/.test: EXTRA := [test]
.venv/.test: CONTAINS := .venv/.lab
.venv/.browser: EXTRA := [test,browser]
.venv/.browser: CONTAINS := .venv/.lab .venv/.test
.venv/.bench: EXTRA := [test,browser,benchmarks]
.venv/.bench: CONTAINS := .venv/.lab .venv/.test .venv/.browser
.venv/.lab .venv/.test .venv/.browser .venv/.bench: pyproject.toml requirements.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("The course needs Python 3.11 or newer; \
	$(PYTHON) is " + sys.version.split()[0] + ". Name a newer one, for example: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	@$(if $(filter .lab,$(@F)),[ -e $@ ] || echo "$(BEFORE)")
	@if [ -e .venv/.installing ] || ! $(VENV) -m pip --version >/dev/null 2>&1; then \
	echo "making the virtual environment .venv"; $(PYTHON) -m venv --clear .venv; fi
	@touch .venv/.installing
	$(VENV) -m pip install --constraint constraints.txt --editable ".$(EXTRA)"
	@rm .venv/.installing && touch $@ $(CONTAINS)
	@$(if $(filter .lab,$(@F)),echo "$(AFTER)")
