"""The scope audit: every text of every row is a word of its own, and every page is opened as everybody.

The rows of all departments are filled with canaries: words that stand nowhere else. Then every GET route is walked as
everybody, and a canary may come back only where the table of reaches allows it. That table stands in `people.py` in
plain SQL, written from the words of the requirement and not from `app/access.py`. Where it allows a row, the row must
also be found; sums and counts are compared with sums in plain SQL; a foreign id and an absent one must answer alike.
It works on a scratch copy and nothing else (`scratch.py`): `run.py check --scope`.
"""
