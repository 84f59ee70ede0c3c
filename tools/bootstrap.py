# Finds the course, on Colab too. The same in every notebook.
import importlib.util, os, pathlib, subprocess, sys, zipfile, zlib


def find_course(repository, colab=pathlib.Path("/content")):
    beside, folder, name = pathlib.Path.cwd() / "ppo-lesson", colab / "ppo-lesson", "ppo-lesson-colab*.zip"
    found = [place for place in (*beside.parents, beside, folder) if (place / "notebooks/course/doctor.py").is_file()]
    if not found and "google.colab" in sys.modules:
        if zips := sorted([*colab.glob(name), *colab.glob(f"drive/MyDrive/ppo-lesson/{name}")], key=os.path.getmtime):
            print("Unpacking", zips[-1], f"(the newest of {len(zips)})" if zips[1:] else "")
            try:
                zipfile.ZipFile(zips[-1]).extractall(colab)  # its last file is doctor.py: with it all others are there
            except (zipfile.BadZipFile, zlib.error, EOFError) as problem:
                raise ValueError(f"{zips[-1]} is broken ({problem}): delete it and upload it again.") from None
        elif repository:
            subprocess.run(["git", "clone", "--depth", "1", repository, str(folder)], check=True)
    return [str(place / room) for place in [*found, folder][:1] if place.is_dir() for room in ("", "notebooks")]


sys.path[:0] = find_course(repository="")
if importlib.util.find_spec("course") is None:
    raise FileNotFoundError(
        "In Colab, upload ppo-lesson-colab.zip and run this again. Elsewhere, keep the notebook in the course's folder."
    )
importlib.import_module("course.doctor").ready(version="")
