"""The exports Foyer knows, one module each; its `RECIPE` says how the files become rows of ours."""
