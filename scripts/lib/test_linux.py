"""What is counted while Linux runs is told apart and not taken for something else. Run by `scripts/check runner`."""

import tomllib
import unittest
from pathlib import Path

from lib import figures, linuxboot, loads, marks, syndrome
from lib.linuxrun import Side
from lib.marks import Passage


def taken(kind: str, origin: str, target: str, esr: int) -> list[str]:
    """One exception as QEMU logs it."""
    return [f"Taking exception 5 [{kind}] on CPU 0", f"...from {origin} to {target}", f"...with ESR 0x0/0x{esr:x}",
            f"...to {target} PC 0x0 PSTATE 0x0"]


LOAD = {"text": "x", "command": "x", "says": "ok [0-9]+"}


class Marks(unittest.TestCase):
    def test_an_exit_belongs_to_the_passage_behind_it(self):
        log = [*taken("IRQ", "EL1", "EL2", 0), "PASSED 10 5 1", *taken("IRQ", "EL1", "EL2", 0), *taken("IRQ", "EL0", "EL2", 0),
               "PASSED 20 9 3"]
        first, second = marks.passages(log)
        self.assertEqual((first.address, first.total, first.own, first.exits), (0x10, 5, 1, {"IRQ": 1}))
        self.assertEqual((second.address, second.exits), (0x20, {"IRQ": 2}))

    def test_exceptions_that_end_below_or_begin_in_the_hypervisor_are_no_exits(self):
        log = [*taken("SVC", "EL0", "EL1", 0), *taken("IRQ", "EL2", "EL2", 0), "PASSED 10 5 1"]
        self.assertEqual(marks.passages(log)[0].exits, {})

    def test_syndromes_have_names(self):
        for kind, value, name in [("IRQ", 0xffffffff, "IRQ"), ("HVC", 0x16 << 26, "HVC"), ("x", 0x24 << 26, "data abort, read"),
                                  ("x", 0x24 << 26 | 0x40, "data abort, write"), ("x", 0x18 << 26 | 0x300008, "other ID registers write"),
                                  ("x", 0x18 << 26 | 0x30000d, "ID_AA64ISAR0_EL1 read"), ("x", 0x3f << 26, "class 0x3f")]:
            self.assertEqual(syndrome.named(kind, value), name)


class Boot(unittest.TestCase):
    def test_the_kernel_s_first_instruction_is_the_last_one_at_its_address(self):
        log = [Passage(linuxboot.KERNEL, 10, 10), Passage(linuxboot.KERNEL, 100, 90), Passage(9, 600, 95), Passage(9, 9000, 900)]
        log[1].exits["before"] = 1
        log[2].exits["HVC"] = 2
        log[3].exits["behind"] = 1
        self.assertEqual(linuxboot.stretch(log, 9, ""), Passage(9, 500, 5, log[2].exits))
        with self.assertRaises(SystemExit):
            linuxboot.stretch(log[:2], 9, "")


class Loads(unittest.TestCase):
    LOADS = {"one": LOAD, "two": LOAD | {"before": "early"}}
    SAID = "LOAD one 0 ok 1\nLOAD two 0 ok 22\n"
    MARKS = [Passage(1, total, own) for total, own in ((100, 50), (200, 60), (250, 60), (300, 61))]

    def test_each_is_counted_between_its_own_marks(self):
        found = loads.stretches(self.LOADS, Side(self.SAID, self.MARKS), "")
        self.assertEqual({name: (one.total, one.own) for name, one in found.items()}, {"one": (100, 10), "two": (50, 1)})

    def test_one_that_failed_or_did_not_do_its_work_is_no_figure(self):
        for said in ["", "LOAD one 0 ok 1\n", *(self.SAID.replace(*change) for change in [("two 0", "two 1"), ("22", "x"), ("ok 22", "")])]:
            with self.assertRaises(SystemExit, msg=said):
                loads.stretches(self.LOADS, Side(said, self.MARKS), "")
        for passages in [[], self.MARKS[:3], self.MARKS + self.MARKS[:1], self.MARKS[:2]]:
            with self.assertRaises(SystemExit, msg=passages):
                loads.stretches(self.LOADS, Side(self.SAID, passages), "")

    def test_ratio_and_share_are_of_the_means(self):
        found = loads.compared([(Passage(1, 100, 0), Passage(1, 110, 10)), (Passage(1, 100, 0), Passage(1, 130, 10))])
        self.assertEqual([found[key] for key in ("ratio", "least", "most", "share")], [1.2, 1.1, 1.3, round(120 / 110, 5)])

    def test_what_comes_before_is_not_between_the_marks(self):
        lines = loads.script(self.LOADS).splitlines()
        at = lines.index("early")
        self.assertEqual(lines[at + 1:at + 5], ["mark", "{ x; } >/tmp/said 2>&1", "status=$?", "mark"])


class Footprint(unittest.TestCase):
    BUDGETS = tomllib.loads(Path(figures.__file__).with_name("budgets.toml").read_text())["footprint"]

    def test_a_boot_beyond_its_budget_is_told(self):
        for name, limits in self.BUDGETS["boot"].items():
            for entry, word in (1, "ok"), (limits.get("entry", 0) * 2, "over by 100 %" if limits else ""):
                boot = {"main": 1, "entry": entry, "prompt": 1}
                found = {"image_bytes": 1, "vm_bytes": {}, "prompt_s": {}, "make_run_s": 1, "boot": {name: boot}}
                line = figures.footprint_lines(found, self.BUDGETS)[-2]
                self.assertEqual(line[-1], word if limits else "", line)

    def test_a_figure_without_a_limit_has_no_verdict(self):
        found = {"image_bytes": 1, "vm_bytes": {}, "prompt_s": {}, "make_run_s": 1, "boot": {}}
        found["boot"] = {name: {"main": 10**12, "entry": 1, "prompt": 10**12} for name in self.BUDGETS["boot"]}
        self.assertEqual({line[-1] for line in figures.footprint_lines(found, self.BUDGETS)}, {"ok", ""})


if __name__ == "__main__":
    unittest.main()
