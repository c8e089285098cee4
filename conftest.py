"""What holds for unit tests and notebooks alike: the guard over notebook cells, and the order of the whole run."""

pytest_plugins = ["nbval_guard"]
collect_ignore_glob = ["notebooks/zh/0[!0]*.ipynb"]  # the same code and outputs as the English ones; one is run too
LONGEST = ("test_browser.py", "test_room.py", "test_present.py", "test_slides.py", "test_injected_failures.py")


def pytest_collection_modifyitems(config, items):
    """Quick answers first: unit tests, notebooks, the longest. Where files run side by side, the longest come first."""
    side_by_side = hasattr(config, "workerinput")
    items.sort(key=_place, reverse=side_by_side)  # stable: within a file everything stays where it was


def _place(item):
    if item.path.suffix == ".ipynb":
        return 1
    return 2 if item.path.name in LONGEST else 0
