"""Twelve invoices to try things with: one JSON file each, as a scanner's software would leave it, and a picture."""

from __future__ import annotations

import json
import struct
import zlib
from datetime import date, timedelta
from pathlib import Path
from typing import Any

BROKEN = '{"number": "INV-1051", "vendor": "Fabrikam Tools", "lines": [{"sku": "F-'
"""What the scanner left of an invoice that got stuck in it."""

# Letters of 3 x 5 points, a row an octal digit.
_FONT = dict(
    part.split("=")
    for part in [
        "A=25755",
        "B=65656",
        "C=34443",
        "D=65556",
        "E=74647",
        "F=74644",
        "G=34553",
        "H=55755",
        "I=72227",
        "J=11152",
        "K=55655",
        "L=44447",
        "M=57755",
        "N=65555",
        "O=25552",
        "P=65644",
        "Q=25563",
        "R=65655",
        "S=34216",
        "T=72222",
        "U=55557",
        "V=55552",
        "W=55775",
        "X=55255",
        "Y=55222",
        "Z=71247",
        "0=75557",
        "1=26227",
        "2=71747",
        "3=71717",
        "4=55711",
        "5=74717",
        "6=74757",
        "7=71122",
        "8=75757",
        "9=75717",
        ".=00002",
        "-=00700",
        ":=02020",
    ]
)
_WIDTH, _HEIGHT = 300, 190
_PAPER, _INK, _BAND = 0, 1, 2
_COLORS = bytes((250, 249, 245, 46, 52, 64, 94, 129, 172))


def write_samples(folder: Path) -> list[Path]:
    """Write the invoices, and their scans beside them; returns the invoices' files in order."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, body in enumerate(invoices(), 1041):
        path = folder / f"INV-{number}.json"
        path.write_text(BROKEN if body is None else json.dumps(body, indent=1), encoding="utf-8")
        if body is not None:
            path.with_suffix(".png").write_bytes(scan(body))
        paths.append(path)
    return paths


def invoices() -> list[dict[str, Any] | None]:
    """The invoices, with what is odd about each; None for the one that the scanner damaged."""
    pens, paper = line("P-100", 40, 2.5), line("A4-80", 25, 4.9)
    chair, lamp, desk = line("C-7", 2, 189.0), line("L-2", 3, 45.5), line("D-1", 1, 640.0)
    return [
        invoice(1041, "Northwind Traders", [pens, paper], order="PO-5521"),
        invoice(1042, "Contoso Paper", [paper, line("A3-90", 10, 8.2)], total=240.5),  # digits changed places
        invoice(1043, " northwind  traders", [lamp], order="PO-5530"),
        invoice(1044, "Northwind Traders", [pens, paper], order="PO-5521"),  # the first one, once more
        invoice(1045, "Wingtip Toys", [line("W-3", 5, 19.99)]),  # nobody we know
        invoice(1046, "Fabrikam Tools", [line("F-20", 4, 27.5)], due=None),
        invoice(1047, "Contoso Paper", [paper, pens]),  # the ledger is busy when this one comes
        invoice(1048, "Fabrikam Tools", [line("F-99", 1, 310.0)]),  # and does not answer for this one
        invoice(1049, "Adventure Works", [desk, chair, lamp, line("X-500", 1, 14_250.0)]),  # above the limit
        invoice(1050, "Adventure Works", [chair, chair], total=378.0),  # one line came twice
        None,
        invoice(1052, "Contoso Paper", [], order="PO-5544"),  # a credit that was settled: nothing to pay
    ]


def line(sku: str, quantity: int, price: float) -> dict[str, Any]:
    """A line of an invoice."""
    return {"sku": sku, "quantity": quantity, "price": price}


def invoice(
    number: int,
    vendor: str,
    lines: list[dict[str, Any]],
    *,
    order: str = "",
    total: float | None = None,
    due: int | None = 30,
) -> dict[str, Any]:
    """An invoice, `due` days after its date; its total is that of its lines where no other is given."""
    issued = date(2026, 11, 2) + timedelta(days=number % 17)
    return {
        "number": f"INV-{number}",
        "vendor": vendor,
        "order": order or f"PO-{number + 4500}",
        "issued": issued.isoformat(),
        "due": None if due is None else (issued + timedelta(days=due)).isoformat(),
        "lines": lines,
        "total": round(sum(one["quantity"] * one["price"] for one in lines), 2) if total is None else total,
    }


def scan(body: dict[str, Any]) -> bytes:
    """A picture of an invoice, as PNG."""
    rows = [bytearray(_WIDTH) for _ in range(_HEIGHT)]
    for row in rows[:26]:
        row[:] = bytes([_BAND]) * _WIDTH
    write(rows, 12, 8, body["vendor"].strip(), _PAPER, 2)
    write(rows, 12, 38, f"INVOICE {body['number']}", _INK, 2)
    write(rows, 12, 56, f"ORDER {body['order']}  DATE {body['issued']}", _INK, 1)
    for n, one in enumerate(body["lines"]):
        text = f"{one['sku']:10} {one['quantity']:4} X {one['price']:10.2f}"
        write(rows, 12, 78 + n * 15, text, _INK, 2)
    rows[160][12 : _WIDTH - 12] = bytes([_INK]) * (_WIDTH - 24)
    write(rows, 12, 168, f"TOTAL EUR {body['total']:.2f}", _INK, 2)
    raw = b"".join(b"\0" + bytes(row) for row in rows)
    header = struct.pack(">IIBBBBB", _WIDTH, _HEIGHT, 8, 3, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(name, data)
        for name, data in ((b"IHDR", header), (b"PLTE", _COLORS), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b""))
    )


def write(rows: list[bytearray], left: int, top: int, text: str, color: int, size: int) -> None:
    """Draw a text; what has no letter here stays empty."""
    for place, letter in enumerate(text.upper()):
        for y, digit in enumerate(_FONT.get(letter, "00000")):
            for x in range(3):
                if int(digit) >> (2 - x) & 1:
                    for dot in range(size):
                        at = left + (place * 4 + x) * size
                        rows[top + y * size + dot][at : at + size] = bytes([color]) * size


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
