import importlib.util, os, pathlib, subprocess, sys, tempfile, zipfile  # Finds the course. The same in every notebook.


def find_course(repository, colab=pathlib.Path("/content")):
    beside, folder, name = pathlib.Path.cwd() / "ppo-lesson", colab / "ppo-lesson", "ppo-lesson-colab*.zip"
    found = [place for place in (*beside.parents, beside, folder) if (place / "notebooks/course/doctor.py").is_file()]
    zips = sorted([*colab.glob(name), *colab.glob(f"drive/MyDrive/ppo-lesson/{name}")], key=os.path.getmtime)
    if (source := [repository, *zips][-1]) and not found and "google.colab" in sys.modules:
        print("Unpacking" if zips else "Cloning", source, f"(the newest of {len(zips)})" if zips[1:] else "")
        try:
            with tempfile.TemporaryDirectory(dir=colab) as half:  # the course arrives whole, or not at all
                git = ["git", "clone", "--depth", "1", source, f"{half}/ppo-lesson"]
                zipfile.ZipFile(source).extractall(half) if zips else subprocess.check_output(git, stderr=-2, text=True)
                found = [pathlib.Path(half, "ppo-lesson").rename(folder)]
        except Exception as problem:
            why = " ".join((getattr(problem, "output", "") or str(problem) or repr(problem)).split())
            return f"{source} failed ({why}): make room in {colab}, or upload ppo-lesson-colab.zip from `make colab`."
    sys.path[:0] = [str(place / room) for place in found[:1] for room in ("", "notebooks")]
    if importlib.util.find_spec("course") is None:
        return "In Colab, upload ppo-lesson-colab.zip and run this again. Elsewhere, keep it in the course's folder."


if problem := find_course(repository=""):
    raise FileNotFoundError(problem)
importlib.import_module("course.doctor").ready(version="")
