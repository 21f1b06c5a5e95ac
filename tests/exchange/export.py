"""A small export in the shape of Northwind, written anew for each test that wants to break it."""

import csv

FILES = {
    "categories.csv": [
        ("CategoryID", "CategoryName", "Description"),
        ("1", "Beverages", "Soft drinks, coffees, teas"),
        ("2", "Condiments", ""),
    ],
    "suppliers.csv": [
        (
            *("SupplierID", "CompanyName", "ContactName", "ContactTitle", "Address", "City", "Region"),
            *("PostalCode", "Country", "Phone", "Fax", "HomePage"),
        ),
        (
            "1",
            "Exotic Liquids",
            "Charlotte Cooper",
            "Buyer",
            "49 Gilbert St.",
            "London",
            "",
            "EC1",
            "UK",
            "1",
            "",
            "",
        ),
        (
            *("2", "Tokyo Traders", "Yoshi Nagase", "", "9-8 Sekimai\nMusashino-shi", "Tokyo", "NULL"),
            *("100", "Japan ", "2", "", "Tokyo#http://tokyo.example/x#"),
        ),
    ],
    "customers.csv": [
        (
            *("CustomerID", "CompanyName", "ContactName", "ContactTitle", "Address", "City", "Region"),
            *("PostalCode", "Country", "Phone", "Fax"),
        ),
        (
            "ALFKI",
            "Alfreds Futterkiste",
            "Maria Anders",
            "",
            "Obere Str. 57",
            "Berlin",
            "",
            "12209",
            "Germany",
            "3",
            "",
        ),
        ("Val2 ", "IT", "Val2", "", "", "", "", "", "", "", ""),
    ],
    "employees.csv": [
        (
            *("EmployeeID", "LastName", "FirstName", "Title", "TitleOfCourtesy", "BirthDate", "HireDate"),
            *(
                "Address",
                "City",
                "Region",
                "PostalCode",
                "Country",
                "HomePhone",
                "Extension",
                "Notes",
                "ReportsTo",
            ),
        ),
        (
            "1",
            "Davolio",
            "Nancy",
            "Rep",
            "Ms.",
            "1948-12-08",
            "1992-05-01",
            "",
            "",
            "",
            "",
            "",
            "4",
            "12",
            'Says ""hi""',
            "2",
        ),
        (
            "2",
            "Fuller",
            "Andrew",
            "VP, Sales",
            "Dr.",
            "1952-02-19",
            "1992-08-14",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
        ),
    ],
    "products.csv": [
        (
            *("ProductID", "ProductName", "SupplierID", "CategoryID", "QuantityPerUnit", "UnitPrice"),
            *("UnitsInStock", "UnitsOnOrder", "ReorderLevel", "Discontinued"),
        ),
        ("1", "Chai", "1", "1", "10 boxes", "18", "39", "0", "10", "0"),
        ("2", "Chef Anton's Mix", "2", "2", "36 boxes", "21.35", "0", "0", "0", "1"),
    ],
    "orders.csv": [
        (
            *("OrderID", "CustomerID", "EmployeeID", "OrderDate", "RequiredDate", "ShippedDate", "ShipVia"),
            *(
                "Freight",
                "ShipName",
                "ShipAddress",
                "ShipCity",
                "ShipRegion",
                "ShipPostalCode",
                "ShipCountry",
            ),
        ),
        # The first was shipped after the second; the third was not.
        (
            *("10248", "ALFKI", "1", "1996-07-04 00:00:00.000", "1996-08-01 00:00:00.000"),
            *(
                "1996-07-16 00:00:00.000",
                "3",
                "32.38",
                "Alfreds",
                "Obere Str. 57",
                "Berlin",
                "",
                "12209",
                "Germany",
            ),
        ),
        (
            "10249",
            "Val2",
            "2",
            "1996-07-05",
            "1996-08-16",
            "1996-07-10",
            "1",
            "11.61",
            "IT",
            "x",
            "y",
            "",
            "",
            "z",
        ),
        (
            "11077",
            "ALFKI",
            "1",
            "1998-05-06",
            "1998-06-03",
            "",
            "2",
            "8.53",
            "Alfreds",
            "O",
            "Berlin",
            "",
            "",
            "D",
        ),
    ],
    "order_lines.csv": [
        ("OrderID", "ProductID", "UnitPrice", "Quantity", "Discount"),
        ("10248", "1", "14", "12", "0.0"),
        ("10248", "2", "9.8", "10", "0.15"),
        ("10249", "1", "18.6", "9", "0"),
        ("11077", "2", "21.35", "3", "0.05"),
    ],
}
NET_INVOICED = "418.70"  # 168.00 + 83.30, and 167.40
NET_OPEN = "60.85"  # 60.8475


def write(folder):
    """Write the export as its owner's program does: UTF-8, commas, CRLF."""
    folder.mkdir(exist_ok=True)
    for name, rows in FILES.items():
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\r\n").writerows(rows)
    return folder


def change(folder, file, old, new):
    """Replace some bytes of one file; they must be there once."""
    path = folder / file
    content = path.read_bytes()
    old, new = (part if isinstance(part, bytes) else part.encode() for part in (old, new))
    assert content.count(old) == 1, (file, old, content.count(old))
    path.write_bytes(content.replace(old, new))
