"""Seeded conversations of a shop's agent with its customers: text, tool calls, results, code.

    python benchmarks/conversations.py [--messages 20000] [--seed 1] [--file FILE]

Made to cost a store what recorded conversations cost it: the sizes of the messages and how well
they compress (alone, two together, in runs, as one long list) are those of public transcripts of
tool-calling agents. Cases come up again after some conversations, as theirs do, and what is said
about them is never quite the same.

The same seed gives the same messages everywhere: of ``random`` only ``Random(seed).random()`` is
used, whose sequence Python guarantees, and nothing depends on a hash or on the order of a set.

Run as a script, it tells the sizes and the ratios, and with ``--file`` those of a JSON list of
objects with a ``traj`` list of chat messages, to compare.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import vocabulary as words
import zstandard
from phrases import Dice, Teller

Json = dict[str, Any]

OPEN_CASES = 50  # that come up in turn
SETTLED = 0.2  # of them each time; a new one takes its place
USES = 10  # of tools, at most, that a case gives reason to
LISTED = 0.4  # of the answers list an order
RULES = 17  # in each section of the policy
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = "0123456789"
ANY = LETTERS + LETTERS.lower() + DIGITS


def messages(seed: int, count: int) -> list[Json]:
    """The first ``count`` messages of the conversations of a seed, one after the other."""
    return list(islice(endless(seed), count))


def endless(seed: int) -> Iterator[Json]:
    """Conversation after conversation, about the open cases in turn."""
    dice = Dice(seed)
    teller = Teller(dice)
    policy = _policy(teller)
    offers = [_offer(dice, kind, make) for kind in words.KINDS for make in words.MAKES]
    cases = [Case(dice, teller, offers) for _ in range(OPEN_CASES)]
    while True:
        for number, case in enumerate(cases):
            yield from _conversation(dice, teller, case, policy)
            if dice.often(SETTLED):
                cases[number] = Case(dice, teller, offers)


# --- the shop and its customers ------------------------------------------------------------------


class Case:
    """A customer who wants something: what the tools find, and the facts that are spoken of."""

    def __init__(self, dice: Dice, teller: Teller, offers: list[Json]) -> None:
        first, last = dice.pick(words.FIRST), dice.pick(words.LAST)
        city = dice.pick(words.CITIES)
        key = f"{first}_{last}_{dice.code(DIGITS, 4)}".lower()
        self.orders = [_order(dice, offers, key, city) for _ in range(dice.between(1, 4))]
        order = self.orders[0]
        self.customer: Json = {
            "customer_id": key,
            "name": {"first_name": first, "last_name": last},
            "email": f"{first}.{last}{dice.code(DIGITS, 4)}@example.com".lower(),
            "address": order["address"],
            "payment_methods": [payment["method"] for payment in order["payments"]],
            "level": dice.pick(("regular", "silver", "gold")),
            "orders": [each["order_id"] for each in self.orders],
        }
        item = order["items"][0]
        self.facts = {
            "customer": key,
            "name": f"{first} {last}",
            "first": first,
            "city": city,
            "order": order["order_id"],
            "date": order["placed_at"][:10],
            "state": order["status"],
            "product": item["name"].partition(" ")[2],
            "colour": dice.pick(words.COLOURS),
            "sku": item["sku"],
            "price": f"€{item['price']:.2f}",
            "payment": order["payments"][0]["method"].replace("_", " "),
        }
        self.uses = [_use(dice, teller, self, offers) for _ in range(dice.between(USES // 2, USES))]


def _offer(dice: Dice, kind: str, make: str) -> Json:
    return {
        "sku": f"{make[:3].upper()}-{dice.code(DIGITS, 6)}",
        "name": f"{make} {kind}",
        "price": dice.between(8, 400) + 0.9,
        "available_sizes": [size for size in ("S", "M", "L", "XL") if dice.often(0.7)],
        "available_colours": [colour for colour in words.COLOURS if dice.often(0.4)],
        "stock": {place: dice.below(20) for place in ("central", "north", "south")},
        "status": dice.pick(("available", "available", "announced", "discontinued")),
    }


def _bought(dice: Dice, offers: list[Json]) -> Json:
    offer = dice.pick(offers)
    return {
        "sku": offer["sku"],
        "name": offer["name"],
        "options": {"colour": dice.pick(words.COLOURS), "size": dice.pick("SML")},
        "price": offer["price"],
        "quantity": dice.between(1, 2),
        "status": dice.pick(words.STATUSES),
    }


def _order(dice: Dice, offers: list[Json], customer: str, city: str) -> Json:
    items = [_bought(dice, offers) for _ in range(dice.between(1, 5))]
    total = round(sum(item["price"] * item["quantity"] for item in items), 2)
    day = f"2025-0{dice.between(1, 3)}-{dice.between(1, 28):02d}"
    return {
        "order_id": dice.code(LETTERS + DIGITS, 6),
        "customer_id": customer,
        "placed_at": f"{day}T{dice.between(7, 22):02d}:{dice.between(0, 59):02d}:00",
        "status": dice.pick(words.STATUSES),
        "items": items,
        "address": {
            "street": f"{dice.between(1, 180)} {dice.pick(words.STREETS)} Street",
            "city": city,
            "zip": dice.code(DIGITS, 5),
        },
        "payments": [{"method": f"credit_card_{dice.code(DIGITS, 7)}", "amount": total}],
        "shipment": {
            "carrier": dice.pick(words.CARRIERS),
            "tracking": dice.code(DIGITS, 12),
        },
    }


def _policy(teller: Teller) -> str:
    """The system prompt: rules under headings."""
    text = "# Policy of the shop's agent\n\nThe current time is 2025-03-14 15:00:00 CET.\n"
    for title in ("Customers", "Orders", "Returns", "Refunds", "Deliveries"):
        rules = [f"- {teller.say(words.POLICY, {})}\n" for _ in range(RULES)]
        text += f"\n## {title}\n\n{''.join(rules)}"
    return text


# --- what is said --------------------------------------------------------------------------------


def _conversation(dice: Dice, teller: Teller, case: Case, policy: str) -> Iterator[Json]:
    facts = {**case.facts, "month": dice.pick(("January", "February", "March"))}
    facts["aim"] = teller.say(words.AIMS, facts)
    yield {"role": "system", "content": policy}
    yield _user(teller.say(words.OPENINGS, facts) + _aside(dice, teller, facts))
    yield _assistant(teller.say(words.ASKS, facts))
    yield _user(teller.say(words.IDENTITIES, facts))
    yield from _tool(dice, "get_customer", {"customer_id": facts["customer"]}, case.customer)
    order = case.orders[0]
    for number in range(dice.between(2, 10)):
        for _ in range(dice.pick((0, 1, 1, 1, 2))):
            used = dice.pick(case.uses)
            order = used.order
            yield from _tool(dice, used.tool, used.arguments, used.result)
        listed = _listed(order) if number == 0 or dice.often(LISTED) else ""
        yield _assistant(_answer(dice, teller, {**facts, "order": order["order_id"]}, listed))
        yield _user(teller.say(words.ANSWERS, facts) + _aside(dice, teller, facts))
    yield _assistant(teller.say(words.FAREWELLS, facts))
    yield _user(teller.say(words.CLOSINGS, facts))


def _user(content: str) -> Json:
    return {"role": "user", "content": content}


def _assistant(content: str) -> Json:
    return {"role": "assistant", "content": content}


def _aside(dice: Dice, teller: Teller, facts: dict[str, str]) -> str:
    return " " + teller.tale(dice.between(1, 3), facts) if dice.often(0.75) else ""


def _answer(dice: Dice, teller: Teller, facts: dict[str, str], listed: str) -> str:
    said = [teller.say(words.STATES, facts) for _ in range(dice.between(1, 3))]
    if dice.often(0.5):
        said.append(teller.tale(dice.between(1, 2), facts))
    if listed:
        said.insert(0, teller.say(words.FOUND, facts) + listed)
    return " ".join([*said, teller.say(words.PROPOSALS, facts)])


def _listed(order: Json) -> str:
    lines = [
        f"{number}. **{item['name']}**\n   - Colour: {item['options']['colour'].capitalize()}\n"
        f"   - Price: €{item['price']:.2f}\n   - Status: {item['status'].capitalize()}\n"
        for number, item in enumerate(order["items"], start=1)
    ]
    return "\n".join(lines)


# --- tools ---------------------------------------------------------------------------------------


class Use(NamedTuple):
    """A tool with what it is called with and gives, about one of the orders."""

    order: Json
    tool: str
    arguments: Json
    result: Any


def _use(dice: Dice, teller: Teller, case: Case, offers: list[Json]) -> Use:
    order = dice.pick(case.orders)
    chance = dice.below(100)
    if chance < 50:
        return Use(order, "get_order", {"order_id": order["order_id"]}, order)
    if chance < 66:
        product = case.facts["product"]
        number = dice.pick((2, 2, 3, 3, 4, 5, len(words.MAKES)))
        found = [offer for offer in offers if product in offer["name"]][:number]
        return Use(order, "search_products", {"query": product, "sizes": ["M", "L"]}, found)
    if chance < 84:
        change = {"order_id": order["order_id"], "status": dice.pick(words.STATUSES)}
        return Use(order, "change_order", change, {**order, **change})
    if chance < 92:
        thought = " ".join(teller.tale(dice.between(2, 5), case.facts) for _ in range(3))
        return Use(order, "think", {"thought": thought}, "")
    lines = [teller.say(words.IMPORTS, case.facts), ""]
    lines += [teller.say(words.STATEMENTS, case.facts) for _ in range(dice.between(3, 8))]
    lines.append(teller.say(words.OUTPUTS, case.facts))
    printed = json.dumps({"total": dice.below(100_000) / 100, "due": case.facts["date"]})
    return Use(order, "run_python", {"code": "\n".join(lines)}, printed)


def _tool(dice: Dice, name: str, arguments: Json, result: Any) -> Iterator[Json]:
    key = f"call_{dice.code(ANY, 24)}"
    function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
    called = [{"id": key, "type": "function", "function": function}]
    yield {"role": "assistant", "content": None, "tool_calls": called}
    content = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
    yield {"role": "tool", "content": content, "tool_call_id": key, "name": name}


# --- how alike they are --------------------------------------------------------------------------


def likeness(conversation: Sequence[Json]) -> dict[str, float]:
    """Mean bytes of a message as MessagePack, and zstd-3 ratios of messages put together."""
    packed: list[bytes] = [msgpack.packb(message) for message in conversation]
    return {
        "bytes of a message": sum(map(len, packed)) / len(packed),
        "each alone": _ratio(packed),
        "two together": _ratio(map(b"".join, zip(packed[::2], packed[1::2], strict=False))),
        "runs of 16 KiB": _ratio(_runs(packed, 16 * 1024)),
        "runs of 128 KiB": _ratio(_runs(packed, 128 * 1024)),
        "runs of 256 KiB": _ratio(_runs(packed, 256 * 1024)),
        "all in one": _ratio([b"".join(packed)]),
    }


def _ratio(parts: Iterable[bytes]) -> float:
    compressor = zstandard.ZstdCompressor(level=3)
    pairs = [(len(compressor.compress(part)), len(part)) for part in parts]
    return sum(stored for stored, _ in pairs) / sum(raw for _, raw in pairs)


def _runs(packed: Sequence[bytes], size: int) -> Iterator[bytes]:
    """Whole messages one after the other, up to about so many bytes."""
    run = b""
    for each in packed:
        run += each
        if len(run) >= size:
            yield run
            run = b""
    if run:
        yield run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--file", type=Path, help="recorded conversations to compare with")
    options = parser.parse_args()
    told = [likeness(messages(options.seed, options.messages))]
    if options.file:
        recorded = json.loads(options.file.read_text(encoding="utf-8"))
        told.append(likeness([message for entry in recorded for message in entry["traj"]]))
    for name in told[0]:
        print(f"{name:20}" + "".join(f"{each[name]:10.3f}" for each in told))


if __name__ == "__main__":
    main()
