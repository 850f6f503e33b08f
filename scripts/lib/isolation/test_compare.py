"""What a machine does differently from the account is seen. Run by `scripts/check isolation`."""

import unittest

from lib.isolation import account, compare, page
from lib.isolation.account import Account, Bits, Control, Feature, Group

CPU = "cpu"


def made(kind: str, *lines: str) -> Group:
    return Group("t", kind, "", [account.register(kind, line) for line in account.lines("\n".join(lines))])


ACCOUNT = Account(
    {CPU: ["has"]},
    [made("state", "3.0.1.0.0 A el0:ro", "3.0.2.0.0-1 B if:has =0", "3.0.3.0.0 C if:lacks", "3.0.9.0.0 H some"),
     made("zero", "2.0.0.2.2 D"), made("answered", "3.0.0.4.0 I ro"), made("undefined", "3.0.15.0-15.0-7 X -- T")],
    [made("state", "15.0.13.0.2 T", "15.1.14 V ro", "14.0.1 W ro some =0")],
    [Control("R", "", [], [Bits(3, 1, "f", 5, [], ""), Bits(4, 4, "g", 1, ["lacks"], ""), Bits(5, 5, "h", None, [], "")])],
    [Feature("shown", "shown", "", [CPU], ["I[3:0]"]), Feature("hid", "hidden", "", [CPU], ["I[7:4]"], ["P"], ["W"])],
    {"I": "3.0.0.4.0"})

RIGHT = ["S 1 3.0.1.0.0 d d 34 0", "S 0 3.0.1.0.0 d x18 34 0", "S 1 3.0.2.0.0 d d 0 0", "S 1 3.0.2.0.1 d d 0 0",
         "S 1 2.0.0.2.2 t t 0 0", "S 1 3.0.0.4.0 t - 1 0", "S 1 3.1.0.3.0 x18 x18 0 0", "U P -", "U W d"]


def found(lines: list[str], count: int | None = None) -> list[str]:
    return compare.swept(ACCOUNT, CPU, "3", ["noise", *lines, f"SWEPT {len(lines) if count is None else count}"])


def with_line(number: int, text: str) -> list[str]:
    return [*RIGHT[:number], text, *RIGHT[number + 1:]]


class Swept(unittest.TestCase):
    def test_what_the_account_says_is_right(self):
        self.assertEqual(found(RIGHT), [])
        self.assertEqual(found([*RIGHT, "S 1 3.0.9.0.0 d d 0 0"]), [])

    def test_lines_that_were_lost_are_seen(self):
        self.assertTrue(found(RIGHT, len(RIGHT) + 1))
        self.assertTrue(compare.swept(ACCOUNT, CPU, "3", RIGHT))

    def test_what_is_not_listed_is_seen(self):
        for line in ["S 1 3.0.4.0.0 d - 0 0", "S 0 3.0.2.0.0 d d 0 0", "S 1 3.0.3.0.0 d d 0 0", "S 1 3.0.15.2.0 t t 0 0",
                     "S 1 3.0.4.0.0 x19 x19 0 0", "S 1 3.0.4.0.0 x18 x18 0 0"]:
            self.assertEqual(len(found([*RIGHT, line])), 1, line)

    def test_what_is_missing_is_seen(self):
        for number in range(6):
            self.assertTrue(found([line for line in RIGHT if line != RIGHT[number]]), RIGHT[number])

    def test_what_is_done_otherwise_is_seen(self):
        for number, text in [(0, "S 1 3.0.1.0.0 d - 34 0"), (0, "S 1 3.0.1.0.0 t d 34 0"), (1, "S 0 3.0.1.0.0 d d 34 0"),
                             (2, "S 1 3.0.2.0.0 d d 7 0"), (4, "S 1 2.0.0.2.2 t t 1 0"), (4, "S 1 2.0.0.2.2 t t 0 1"),
                             (4, "S 1 2.0.0.2.2 d d 0 0"), (5, "S 1 3.0.0.4.0 t d 1 0")]:
            self.assertEqual(len(found(with_line(number, text))), 1, text)

    def test_features_are_as_decided(self):
        for number, text in [(5, "S 1 3.0.0.4.0 t - 11 0"), (5, "S 1 3.0.0.4.0 t - 0 0"), (7, "U P d"), (8, "U W -"), (8, "U W t")]:
            self.assertEqual(len(found(with_line(number, text))), 1, text)


class Coprocessors(unittest.TestCase):
    RIGHT = ["C 15.0.13.0.2 d d 5", "C 15.1.14 d - 7", "C 15.0.9.12.0 x03 x03 0"]

    def found(self, lines: list[str]) -> int:
        return len(compare.coprocessors(ACCOUNT, CPU, "3", [*lines, f"SWEPT {len(lines)}"]))

    def test_what_the_account_says_is_right(self):
        self.assertEqual(self.found(self.RIGHT), 0)
        self.assertEqual(self.found([*self.RIGHT, "C 14.0.1 d - 0"]), 0)
        self.assertTrue(compare.coprocessors(ACCOUNT, CPU, "3", self.RIGHT))

    def test_what_is_otherwise_is_seen(self):
        for line in ["C 14.0.1 d - 1", "C 14.0.2 d - 0", "C 15.0.9.13.0 d - 0", "C 15.0.9.13.0 x21 x21 0"]:
            self.assertEqual(self.found([*self.RIGHT, line]), 1, line)
        for number, line in [(0, "C 15.0.13.0.2 d - 5"), (1, "C 15.1.14 t - 5"), (1, "C 15.1.14 - x04 0")]:
            self.assertEqual(self.found([*self.RIGHT[:number], line, *self.RIGHT[number + 1:]]), 1, line)


class Controls(unittest.TestCase):
    def wrong(self, value: int) -> int:
        return len(compare.controlled(ACCOUNT, CPU, "3", {"R": value}))

    def test_every_bit_counts_but_those_left_open(self):
        self.assertEqual([self.wrong(value) for value in (0b1010, 0b101010, 0b11010)], [0, 0, 0])
        self.assertEqual([self.wrong(value) for value in (0b1000, 0b1011, 0b1001010)], [1, 1, 1])

    def test_a_feature_that_a_cpu_has_or_lacks_otherwise_is_seen(self):
        self.assertEqual([len(compare.owned(ACCOUNT, CPU, {"I": value})) for value in (0x11, 0x10, 0x01, 0x00)], [0, 1, 1, 2])

    def test_a_control_that_is_not_there_is_seen(self):
        self.assertEqual(len(compare.controlled(ACCOUNT, CPU, "3", {})), 1)


class TheFile(unittest.TestCase):
    def test_it_can_be_read_and_names_what_it_uses(self):
        real = account.read()
        features = {name for names in real.cpus.values() for name in names} | {"gicv3", "amu", "fgt2", "mpam", "mte"}
        lines = [line for group in real.groups for line in group.registers]
        for name in (name for line in lines for name in line.features):
            self.assertIn(name, features)
        for one in real.features:
            self.assertIn(one.guest, ("shown", "hidden", "part"))
            self.assertLessEqual(set(one.on), set(real.cpus))
            self.assertTrue(all(compare.FIELD.match(place)["name"] in real.ids for place in one.id), one.name)

    def test_the_page_has_every_register_once(self):
        text = page.written(page.PAGE.read_text())
        for group in account.read().groups:
            for line in group.registers:
                self.assertEqual(text.count(f"| {line.name} | {line.place} |"), 1, line.name)


if __name__ == "__main__":
    unittest.main()
