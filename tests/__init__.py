"""The tests; what is loaded on the way to them is not looked through for garbage (see conftest.py)."""

import gc

gc.disable()
