"""The build: Jupytext notebooks -> papermill -> Jupyter Book.

Readers of the library rarely come here. ``tasks`` says what depends on what, ``execute`` runs one
notebook, ``render`` turns the executed notebooks and the prose into HTML, and ``sphinx_ext`` and
``mime`` are what Sphinx needs to know about this project.
"""

# A file in the rendered site that says which profile and pages it shows.
MARKER = "profile.json"
