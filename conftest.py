"""What holds for unit tests and notebooks alike: the guard over notebook cells, and the order of the whole run."""

pytest_plugins = ["nbval_guard"]
BROWSER = ("test_browser.py", "test_room.py", "test_present.py", "test_slides.py")


def pytest_collection_modifyitems(config, items):
    """Quick answers first: unit tests, notebooks, a browser. Where files run side by side, the longest come first."""
    side_by_side = hasattr(config, "workerinput")
    items.sort(key=_place, reverse=side_by_side)  # stable: within a file everything stays where it was


def _place(item):
    if item.path.suffix == ".ipynb":
        return 1
    return 2 if item.path.name in BROWSER else 0
