"""How much of a file is looked at: what goes beyond is refused before it costs the server anything."""

FILE_BYTES = 128 * 1024 * 1024  # a million people; PostgreSQL hands it over as text of twice the size
SHEET_BYTES = 60 * 1024 * 1024  # of a packed workbook; one of a million rows and four columns has about 20
UNPACKED_BYTES = 768 * 1024 * 1024  # of all members of a workbook together; read as a stream, never held
PARTS = 5_000  # members of a workbook
ROWS = 2_000_000
COLUMNS = 500
CELL = 131_072  # characters in one value: what Python's csv reads, and more than any column here keeps
READER_MEMORY = 480 * 1024 * 1024  # address space of the process that unpacks a workbook
READER_SECONDS = 300  # of its processor time
