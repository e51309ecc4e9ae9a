import gc


def pytest_collection_finish() -> None:
    """What was imported and collected stays until the end: the collector need not go through it again and again."""
    gc.collect()
    gc.freeze()
