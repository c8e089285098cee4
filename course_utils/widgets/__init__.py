"""The labs: controls over a picture, one lab per file; the only place that imports ipywidgets."""
